#include "core/training/trainer.hpp"

#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/errors.hpp"
#include "core/training/base_predictions.hpp"
#include "core/training/layout_agreement.hpp"
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
      micro_batch_(inputs.training.micro_batch_size > 0
                       ? inputs.training.micro_batch_size
                       : automatic_micro_batch(*inputs.decoder, inputs.bank->layout(), *inputs.train,
                                               inputs.bank->member_count(), inputs.training.batch_size, inputs.memory)),
      prefix_(*inputs.decoder, *inputs.train, inputs.bank->layout().lowest_layer(), train_budget(inputs)),
      optimiser_(inputs.bank->parameters(), inputs.training.optimiser,
                 decay_segments(*inputs.bank, inputs.training.weight_decay)),
      stopping_(inputs.bank->member_count(), inputs.training.early_stopping),
      interval_(inputs.bank->members(), *inputs.group) {
  if (inputs.training.batch_size < inputs.group->size()) {
    throw UsageError(
        fmt::format("training.batch_size: a batch of {} examples cannot be shared by the {} ranks of a "
                    "group. Raise training.batch_size, start fewer ranks, or raise distributed.groups.",
                    inputs.training.batch_size, inputs.group->size()));
  }
  agree_on_layout(*inputs.bank, *inputs.group);
  if (inputs.validation != nullptr) {
    validation_ =
        std::make_unique<Predictor>(*inputs.decoder, *inputs.validation, prefix_.end_layer(),
                                    inputs.evaluation.batch_size, inputs.prefix_budget - train_budget(inputs),
                                    share_of(inputs.validation->size(), inputs.group->rank(), inputs.group->size()));
  }
  at::Tensor base;
  if (inputs.training.kl_to_base && inputs.train->kind() == TaskKind::multiple_choice) {
    base = base_log_probabilities(*inputs.decoder, *inputs.train, inputs.evaluation.batch_size, *inputs.group);
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
  TrainingControl alone;
  run(alone);
}

void Trainer::run(TrainingControl& control) {
  validate_if_pending(control);  // a preempted run had no time for it
  while (step_ < total_steps_ && control.go_on(step_, stopping_.any_training())) {
    if (stopping_.any_training()) {
      step();
      const bool interval_ends = step_ % in_.training.log_every == 0 || step_ == total_steps_;
      if (interval_ends) log_interval(true);
    } else {
      ++step_;  // other groups still train; theirs is the clock
    }
    validation_pending_ = validation_is_due();
    validate_if_pending(control);
    log_interval(false);  // a member that stopped does not come by the next boundary
  }
  if (control.in_all_groups(stopping_.all_diverged())) {
    throw DivergedError(
        fmt::format("training diverged: all members became non-finite, the last at step {}. Lower "
                    "training.learning_rate or set training.clip_norm.",
                    step_));
  }
  if (in_.training.early_stopping) {
    continued_ = in_.bank->parameters().clone();
    stopping_.restore_best(in_.bank->parameters());
  }
}

void Trainer::step() {
  // every member's gradients, summed over the group (all ranks take part)
  const Gradients gradients = compute_gradients(step_);

  // then each member by itself: is it finite, how long is its gradient, how far does it go
  update(gradients);
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
    // A loss that is not finite has made the gradient so, on whichever rank it was: all ranks decide the same.
    const bool finite = std::isfinite(norms[m]);
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
    const auto ranks = static_cast<double>(in_.group->size());
    report.members.push_back({member, was_training, gradients.loss[m] * ranks, gradients.divergence[m] * ranks,
                              step.learning_rate, norms[m], gradients.tokens[m]});
    if (was_training) interval_.add(m, gradients.loss[m], gradients.divergence[m], report.members.back());
  }
  optimiser_.step(in_.bank->parameters(), in_.bank->gradients(), steps);
  ++step_;
  report.step = step_;
  report.total_steps = total_steps_;
  report.epoch = static_cast<double>(step_) / static_cast<double>(order_.steps_per_epoch());
  in_.observer->stepped(report);
}

void Trainer::log_interval(bool of_all) {
  std::vector<bool> ends;
  bool anything = false;
  for (std::size_t m = 0; m < stopping_.states().size(); ++m) {
    ends.push_back(of_all || !stopping_.states()[m].training);
    anything = anything || (ends[m] && interval_.sums()[m].steps > 0);
  }
  if (!anything) return;  // known to all ranks of the group alike
  in_.observer->logged(
      {step_, static_cast<double>(step_) / static_cast<double>(order_.steps_per_epoch()), interval_.finish(ends)});
}

}  // namespace chorale
