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

StepRates step_rates(const TrainerInputs& in, std::int64_t total_steps) {
  StepRates rates;
  const std::vector<double>& given = in.training.learning_rate;
  for (const std::uint32_t member : in.bank->members()) {
    rates.learning_rates.push_back(given.size() > 1 ? given[member] : given[0]);
  }
  for (std::int64_t step = 0; step < total_steps; ++step) {
    rates.factors.push_back(learning_rate_factor(in.training.schedule, step, total_steps));
  }
  rates.clip_norm = in.training.clip_norm;
  return rates;
}

PassSize choose_pass_size(const TrainerInputs& in) {
  const std::int64_t members = in.bank->member_count();
  if (in.pass_size) return *in.pass_size;
  if (in.training.micro_batch_size > 0) return {members, in.training.micro_batch_size};
  std::int64_t longest = 1;
  for (std::size_t example = 0; example < in.train->size(); ++example) {
    longest = std::max(longest, in.train->own_rows(example));
  }
  // The rank's share of a batch, which is rounded up.
  const std::int64_t ranks = in.group->size();
  const std::uint64_t element = in.decoder->activation_bytes();
  return automatic_pass_size(
      members, (in.training.batch_size + ranks - 1) / ranks, longest,
      activation_bytes_per_row(in.decoder->config(), in.bank->layout(), element, in.training.recompute),
      in.activation_budget);
}

// Batches that are to be repeated come in few shapes: all members get as many rows as the one with most, rounded up by
// at most a sixteenth, or to 32.
BatchPadding batch_padding(const TrainerInputs& in, std::int64_t examples) {
  if (!in.record_passes) return {.row_multiple = ExampleBatcher::kRowMultiple};
  const std::int64_t rows = in.train->row_count() * examples / static_cast<std::int64_t>(in.train->size());
  std::int64_t multiple = ExampleBatcher::kRowMultiple;
  while (multiple * 32 <= rows) multiple *= 2;
  return {.row_multiple = multiple, .equal_streams = true, .output_multiple = multiple / 2};
}

// The smaller of the two sets goes first: the validation set is visited as a whole after every epoch.
RowBudget train_budget(const TrainerInputs& in) {
  if (in.validation == nullptr) return in.prefix_budget;
  const auto share = static_cast<double>(in.train->row_count()) /
                     static_cast<double>(in.train->row_count() + in.validation->row_count());
  RowBudget budget = in.prefix_budget;
  budget.bytes = static_cast<std::uint64_t>(static_cast<double>(budget.bytes) * share);
  return budget;
}

}  // namespace

Trainer::Trainer(const TrainerInputs& inputs)
    : in_(inputs),
      order_(inputs.train->size(), inputs.training.batch_size, inputs.seed, inputs.vary_data_order),
      total_steps_(inputs.training.steps > 0 ? inputs.training.steps
                                             : inputs.training.epochs * order_.steps_per_epoch()),
      pass_size_(choose_pass_size(inputs)),
      prefix_(*inputs.decoder, *inputs.train, inputs.share_prefix ? inputs.bank->layout().lowest_layer() : 0,
              train_budget(inputs)),
      optimiser_(inputs.bank->parameters(), inputs.training.optimiser, step_rates(inputs, total_steps_),
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
    RowBudget rest = inputs.prefix_budget;
    rest.bytes -= train_budget(inputs).bytes;
    validation_ = std::make_unique<Predictor>(
        *inputs.decoder, *inputs.validation, prefix_.end_layer(), inputs.evaluation.batch_size, rest,
        share_of(inputs.validation->size(), inputs.group->rank(), inputs.group->size()));
    validation_->merge(Merging::when_less_work, merge_budget(inputs.activation_budget));
  }
  at::Tensor base;
  if (inputs.training.kl_to_base && inputs.train->kind() == TaskKind::multiple_choice) {
    base = base_log_probabilities(*inputs.decoder, *inputs.train, inputs.evaluation.batch_size, *inputs.group);
  }
  objective_ = std::make_unique<Objective>(*inputs.decoder, *inputs.train, inputs.training.kl_to_base, base);
  padding_ = batch_padding(inputs, pass_size_.examples);
  pass_ = std::make_unique<GradientPass>(*inputs.decoder, *inputs.bank, *objective_, prefix_.end_layer(),
                                         inputs.record_passes, inputs.training.recompute);
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
    if (validation_pending_) settle();
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
  std::vector<std::int64_t> tokens = accumulate_gradients(step_);

  // then each member by itself: is it finite, how long is its gradient, how far does it go
  const AdamWReport& report = optimiser_.step(in_.bank->parameters(), in_.bank->gradients(), in_.bank->rounded());
  in_.bank->rounded_anew();
  ++step_;
  results_.add(step_, std::move(tokens), pass_->losses(), report);

  // A GPU still works on it: the host looks when an interval ends. On the CPU it is done.
  if (!in_.decoder->device().is_cuda()) settle();
}

void Trainer::settle() {
  const std::vector<StepResult> results = results_.take();  // waits for what a GPU still works on
  in_.group->confirm();
  for (const StepResult& result : results) take_in(result);
}

void Trainer::take_in(const StepResult& result) {
  const auto ranks = static_cast<double>(in_.group->size());
  StepReport report;
  report.step = result.step;
  report.total_steps = total_steps_;
  report.epoch = static_cast<double>(result.step) / static_cast<double>(order_.steps_per_epoch());
  for (std::size_t m = 0; m < result.members.size(); ++m) {
    const MemberResult& own = result.members[m];
    const std::uint32_t member = in_.bank->members()[m];
    if (own.diverged) {
      // The update has taken its adapters away, which are useless, perhaps not even finite: it predicts as the base.
      stopping_.diverge(static_cast<std::int64_t>(m), result.step);
      in_.observer->noted(
          fmt::format("member {} turned non-finite at step {} (loss {}, gradient norm {}); its adapters "
                      "are taken away and it trains no further. Lower its learning rate or set "
                      "training.clip_norm.",
                      member, result.step, own.loss, own.gradient_norm),
          true);
    }
    report.members.push_back({member, own.was_training, own.loss * ranks, own.divergence * ranks, own.learning_rate,
                              own.gradient_norm, own.tokens});
    if (own.was_training) interval_.add(m, own.loss, own.divergence, report.members.back());
  }
  in_.observer->stepped(report);
}

void Trainer::log_interval(bool of_all) {
  if (of_all) settle();
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
