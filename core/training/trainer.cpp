#include "core/training/trainer.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "core/base/errors.hpp"
#include "core/calibration/evaluate.hpp"
#include "core/training/base_predictions.hpp"
#include "core/training/memory_estimate.hpp"
#include "core/training/schedule.hpp"

namespace chorale {
namespace {

std::vector<DecaySegment> decay_segments(const AdapterBank& bank, const WeightDecay& decay) {
  std::vector<DecaySegment> segments;
  for (const AdapterSlot& slot : bank.layout().slots()) {
    const std::int64_t b_end = slot.b_offset + slot.b_rows * bank.config().rank;
    segments.push_back({slot.a_offset, slot.b_offset, decay.a});
    segments.push_back({slot.b_offset, b_end, decay.b});
  }
  return segments;
}

// The smaller of the two sets goes first: the validation set is visited as a whole after every epoch.
std::uint64_t train_budget(const TrainerInputs& in) {
  if (in.validation == nullptr) return in.prefix_budget;
  const auto share = static_cast<double>(in.train->row_count()) /
                     static_cast<double>(in.train->row_count() + in.validation->row_count());
  return static_cast<std::uint64_t>(static_cast<double>(in.prefix_budget) * share);
}

}  // namespace

Trainer::Trainer(const TrainerInputs& inputs)
    : in_(inputs),
      order_(inputs.train->size(), inputs.training.batch_size, inputs.seed, inputs.vary_data_order),
      total_steps_(inputs.training.steps > 0 ? inputs.training.steps
                                             : inputs.training.epochs * order_.steps_per_epoch()),
      prefix_(*inputs.decoder, *inputs.train, inputs.bank->layout().lowest_layer(), train_budget(inputs)),
      optimiser_(inputs.bank->parameters(), inputs.training.optimiser,
                 decay_segments(*inputs.bank, inputs.training.weight_decay)),
      stopping_(inputs.bank->member_count(), inputs.training.early_stopping) {
  if (inputs.training.batch_size < inputs.group->size()) {
    throw UsageError(
        fmt::format("training.batch_size: a batch of {} examples cannot be shared by the {} ranks of a "
                    "group. Raise training.batch_size, start fewer ranks, or raise distributed.groups.",
                    inputs.training.batch_size, inputs.group->size()));
  }
  if (inputs.validation != nullptr) {
    validation_ =
        std::make_unique<Predictor>(*inputs.decoder, *inputs.validation, prefix_.end_layer(),
                                    inputs.evaluation.batch_size, inputs.prefix_budget - train_budget(inputs));
  }
  at::Tensor base;
  if (inputs.training.kl_to_base && inputs.train->kind() == TaskKind::multiple_choice) {
    base = base_log_probabilities(*inputs.decoder, *inputs.train, inputs.evaluation.batch_size);
  }
  objective_ = std::make_unique<Objective>(*inputs.decoder, *inputs.train, inputs.training.kl_to_base, base);
  if (prefix_.kept_chunks() < prefix_.chunks() && prefix_.end_layer() > 0) {
    in_.observer->noted(
        fmt::format("the frozen layers' output of {} of {} parts of the training set fits the cache; the "
                    "rest is computed again in every epoch (training.prefix_cache sets the budget)",
                    prefix_.kept_chunks(), prefix_.chunks()),
        true);
  }
}

void Trainer::run() {
  while (step_ < total_steps_ && stopping_.any_training()) {
    step();

    // at the end of every few epochs, and after the last step, look at the validation set (members keep their best)
    const std::int64_t every = in_.evaluation.every_epochs * order_.steps_per_epoch();
    if (validation_ && (step_ % every == 0 || step_ == total_steps_)) validate();
  }
  if (stopping_.all_diverged()) {
    throw DivergedError(
        fmt::format("training diverged: all {} members became non-finite, the last at step {}. Lower "
                    "training.learning_rate or set training.clip_norm.",
                    in_.bank->member_count(), step_));
  }
  stopping_.restore_best(in_.bank->parameters());
}

void Trainer::step() {
  // every member's gradients, summed over the group (all ranks take part)
  const Gradients gradients = compute_gradients(step_);

  // then each member by itself: is it finite, how long is its gradient, how far does it go
  update(gradients);
}

std::vector<std::vector<std::size_t>> Trainer::batches(std::int64_t step) const {
  std::vector<std::vector<std::size_t>> examples;
  for (std::size_t m = 0; m < stopping_.states().size(); ++m) {
    const MemberState& state = stopping_.states()[m];
    // A member that stopped early has no rows any more. One that diverged keeps its rows: the shapes of the shared
    // products stay what they were, and with them every bit of the other members' results.
    const bool idle = !state.training && !state.diverged;
    examples.push_back(idle ? std::vector<std::size_t>() : order_.batch(in_.bank->members()[m], step));
  }
  return examples;
}

Trainer::Gradients Trainer::compute_gradients(std::int64_t step) {
  const std::vector<std::vector<std::size_t>> whole = batches(step);
  const auto rank = static_cast<std::size_t>(in_.group->rank());
  const auto ranks = static_cast<std::size_t>(in_.group->size());
  std::vector<double> normalisers;
  std::size_t longest = 0;
  for (const auto& examples : whole) {
    // A member without examples contributes nothing; 1 only keeps the division defined.
    normalisers.push_back(examples.empty() ? 1.0 : objective_->weight_of(examples));
    longest = std::max(longest, examples.size() * (rank + 1) / ranks - examples.size() * rank / ranks);
  }
  const auto micro = static_cast<std::size_t>(micro_batch_size());
  const auto members = in_.bank->member_count();
  at::Tensor losses = at::zeros({2, members}, in_.bank->parameters().options().dtype(at::kDouble));
  in_.bank->gradients().zero_();
  Gradients result;
  for (std::size_t begin = 0; begin < longest; begin += micro) {
    std::vector<std::vector<std::size_t>> part;
    for (const auto& examples : whole) {
      const std::size_t first = examples.size() * rank / ranks;
      const std::size_t last = examples.size() * (rank + 1) / ranks;
      const std::size_t from = std::min(first + begin, last);
      const std::size_t to = std::min(from + micro, last);
      part.emplace_back(examples.begin() + static_cast<std::ptrdiff_t>(from),
                        examples.begin() + static_cast<std::ptrdiff_t>(to));
    }
    accumulate(part, normalisers, step, losses, result);
  }
  in_.group->all_reduce_sum(in_.bank->gradients());
  in_.group->all_reduce_sum(losses);
  const at::Tensor host = losses.cpu().contiguous();
  const auto* values = host.const_data_ptr<double>();
  result.loss.assign(values, values + members);
  result.divergence.assign(values + members, values + 2 * members);
  return result;
}

void Trainer::accumulate(const std::vector<std::vector<std::size_t>>& examples, const std::vector<double>& normalisers,
                         std::int64_t step, at::Tensor& losses, Gradients& result) {
  const Decoder& decoder = *in_.decoder;
  const ExampleBatch batch = in_.train->build(examples, 0, ExampleBatcher::kRowMultiple);
  const PreparedBatch prepared = decoder.prepare(batch.packed);
  const at::Tensor x = prefix_.rows_of(batch);
  result.tokens += batch.packed.rows() - batch.padding_rows;
  at::Tensor base_hidden;
  if (objective_->needs_base_hidden()) {
    const at::NoGradGuard no_gradients;
    base_hidden = decoder.run_layers(x, prepared, prefix_.end_layer(), decoder.config().layers, nullptr);
  }
  const at::AutoGradMode with_gradients(true);
  const at::Tensor leaf = in_.bank->parameters().detach().requires_grad_(true);
  const auto hook = in_.bank->hook(leaf, /*training=*/true, static_cast<std::uint64_t>(step));
  const at::Tensor hidden = decoder.run_layers(x, prepared, prefix_.end_layer(), decoder.config().layers, hook.get());
  const MemberLosses member_losses = objective_->losses(hidden, base_hidden, batch.scoring, normalisers);
  // Members share no parameter, so the gradient of the sum holds each member's own gradient in its row.
  const auto gradients = torch::autograd::grad({member_losses.total.sum()}, {leaf});
  in_.bank->gradients().add_(gradients[0]);
  losses[0].add_(member_losses.data);
  if (member_losses.divergence.defined()) losses[1].add_(member_losses.divergence);
}

void Trainer::update(const Gradients& gradients) {
  const std::vector<double> norms = row_norms(in_.bank->gradients());
  const double factor = learning_rate_factor(in_.training.schedule, step_, total_steps_);
  const std::vector<double>& rates = in_.training.learning_rate;
  StepReport report;
  std::vector<MemberStep> steps(norms.size());
  for (std::size_t m = 0; m < norms.size(); ++m) {
    const std::uint32_t member = in_.bank->members()[m];
    const bool was_training = stopping_.states()[m].training;
    const bool finite = std::isfinite(norms[m]) && std::isfinite(gradients.loss[m]);
    if (was_training && !finite) {
      stopping_.diverge(static_cast<std::int64_t>(m), step_ + 1);
      // Its adapters are useless, perhaps not even finite: without them the member predicts as the base does.
      in_.bank->parameters()[static_cast<std::int64_t>(m)].zero_();
      in_.observer->noted(
          fmt::format("member {} turned non-finite at step {} (loss {}, gradient norm {}); its adapters "
                      "are taken away and it trains no further. Lower its learning rate or set "
                      "training.clip_norm.",
                      member, step_ + 1, gradients.loss[m], norms[m]),
          true);
    }
    MemberStep& step = steps[m];
    step.update = was_training && finite;
    step.learning_rate = factor * (rates.size() > 1 ? rates[member] : rates[0]);
    // torch's clip_grad_norm_ adds the same 1e-6.
    if (in_.training.clip_norm) step.gradient_scale = std::min(1.0, *in_.training.clip_norm / (norms[m] + 1e-6));
    report.members.push_back(
        {member, was_training, gradients.loss[m], gradients.divergence[m], step.learning_rate, norms[m]});
  }
  optimiser_.step(in_.bank->parameters(), in_.bank->gradients(), steps);
  ++step_;
  report.step = step_;
  report.total_steps = total_steps_;
  report.epoch = static_cast<double>(step_) / static_cast<double>(order_.steps_per_epoch());
  report.tokens = gradients.tokens;
  in_.observer->stepped(report);
}

void Trainer::validate() {
  ValidationReport report;
  report.step = step_;
  report.members = in_.bank->members();
  EvaluationConfig config = in_.evaluation;
  config.bootstrap = 0;
  config.temperature = false;
  nlohmann::json metrics;
  if (in_.validation->kind() == TaskKind::multiple_choice) {
    validated_ = validation_->choices(*in_.bank, nullptr);
    validated_step_ = step_;
    metrics = evaluate_predictions(validated_, nullptr, config, in_.seed);
  } else {
    metrics = evaluate_tokens(validation_->tokens(*in_.bank, nullptr));
  }
  const auto number = [](const nlohmann::json& object, const char* key) {
    return object.contains(key) && object[key].is_number() ? object[key].get<double>()
                                                           : std::numeric_limits<double>::quiet_NaN();
  };
  for (const nlohmann::json& member : metrics["members"]["each"]) {
    report.metrics.push_back({number(member, "nll"), number(member, "accuracy"), number(member, "ece")});
  }
  const auto stopped = stopping_.validated(step_, report.metrics, in_.bank->parameters());
  in_.observer->validated(report);
  for (const std::int64_t m : stopped) {
    const MemberState& state = stopping_.states()[static_cast<std::size_t>(m)];
    in_.observer->noted(fmt::format("member {} stopped early at step {}; its best adapters are those of step {}",
                                    in_.bank->members()[static_cast<std::size_t>(m)], step_, state.best_step),
                        false);
  }
}

const Predictions* Trainer::current_validation() const {
  // Early stopping puts older adapters back after the last validation.
  return validated_step_ == step_ && !in_.training.early_stopping ? &validated_ : nullptr;
}

std::int64_t Trainer::micro_batch_size() const {
  if (in_.training.micro_batch_size > 0) return in_.training.micro_batch_size;
  return automatic_micro_batch(*in_.decoder, in_.bank->layout(), *in_.train, in_.bank->member_count(),
                               in_.training.batch_size);
}

}  // namespace chorale
