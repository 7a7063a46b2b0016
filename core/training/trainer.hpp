// The training loop of one rank's members.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/calibration/evaluation_config.hpp"
#include "core/data/task.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/inference/frozen_prefix.hpp"
#include "core/inference/predictor.hpp"
#include "core/model/decoder.hpp"
#include "core/parallel/communicator.hpp"
#include "core/training/adamw.hpp"
#include "core/training/data_order.hpp"
#include "core/training/gradient_pass.hpp"
#include "core/training/interval.hpp"
#include "core/training/objective.hpp"
#include "core/training/observer.hpp"
#include "core/training/pass_plan.hpp"
#include "core/training/step_results.hpp"
#include "core/training/stopping.hpp"
#include "core/training/training_config.hpp"
#include "core/training/training_control.hpp"

namespace chorale {

/// Everything a training run is made of. What is referred to must outlive the Trainer.
struct TrainerInputs {
  const Decoder* decoder = nullptr;
  AdapterBank* bank = nullptr;
  const ExampleBatcher* train = nullptr;       // every example labelled
  const ExampleBatcher* validation = nullptr;  // or null
  TrainingConfig training;
  EvaluationConfig evaluation;
  bool vary_data_order = true;
  std::uint64_t seed = 0;
  // Bytes for the frozen prefix of the training and validation sets together; the same on all ranks of a group.
  RowBudget prefix_budget;
  // False: every member computes the layers below the lowest adapter for itself, in every step. For measurements.
  bool share_prefix = true;
  std::uint64_t activation_budget = 0;  // bytes; decides automatic passes (0: no limit)
  std::optional<PassSize> pass_size;    // instead of what memory decides
  bool record_passes = false;           // repeat recorded passes instead of issuing every operation anew
  Communicator* group = nullptr;        // the ranks that share these members
  TrainingObserver* observer = nullptr;
};

/// Trains the members of a bank side by side: one pass for all of them, then each by itself (norm, clipping, schedule,
/// AdamW, stopping). Collective over the ranks of `group`: each takes its share of every member's batch, and the one
/// thing exchanged per step is the flat gradient buffer. Besides: frozen layers' output when first needed, losses once
/// per logging interval, predictions at validations.
class Trainer {
 public:
  /// Throws UsageError when a batch is smaller than the group, or when the ranks of the group do not hold the same
  /// adapters of the same members. Collective.
  explicit Trainer(const TrainerInputs& inputs);

  [[nodiscard]] std::int64_t total_steps() const { return total_steps_; }
  [[nodiscard]] std::int64_t steps_done() const { return step_; }
  [[nodiscard]] std::int64_t steps_per_epoch() const { return order_.steps_per_epoch(); }
  [[nodiscard]] const std::vector<MemberState>& states() const { return stopping_.states(); }
  [[nodiscard]] AdamW& optimiser() { return optimiser_; }
  [[nodiscard]] const AdamW& optimiser() const { return optimiser_; }
  [[nodiscard]] Stopping& stopping() { return stopping_; }
  [[nodiscard]] const Stopping& stopping() const { return stopping_; }
  [[nodiscard]] IntervalLog& interval() { return interval_; }
  /// After run() under early stopping: the parameters that further training goes on from, because the bank holds the
  /// best ones. Undefined otherwise.
  [[nodiscard]] const at::Tensor& continued() const { return continued_; }
  /// Goes on from `steps` done. What the bank, the optimiser, stopping() and interval() held then is put back by the
  /// caller (see checkpoint.hpp).
  void set_steps_done(std::int64_t steps) { step_ = steps; }
  /// Takes in what the device has decided in the steps made so far: who turned non-finite, losses, norms. Waits for it.
  /// states() and interval() are those of the last step afterwards, as they are at the end of every logging interval
  /// and, on the CPU, of every step. All ranks of a group call it at the same step, or none does.
  void settle();
  /// True while the validation that belongs behind the last step has not been made: a run that is asked to stop in the
  /// middle of one is saved like that, and goes on by making it.
  [[nodiscard]] bool validation_pending() const { return validation_pending_; }
  void set_validation_pending(bool pending) { validation_pending_ = pending; }

  /// Predictions of the validation set by the adapters as they are now, when the last validation made just those; else
  /// null. Saves whoever evaluates next from doing it again.
  [[nodiscard]] const Predictions* current_validation() const;

  /// All remaining steps and validations; restores the best adapters at the end under early stopping. Throws
  /// DivergedError, on all ranks, when no member of any group is left that is finite, and what `control` throws.
  void run(TrainingControl& control);
  void run();
  /// One optimiser step of all members that still train.
  void step();

  /// Gradients of the step `step` for the current parameters into the bank's gradient buffer, and the members' losses.
  /// For tests: no update happens.
  struct Gradients {
    std::vector<double> loss;          // [members] this rank's part of the mean over the whole batch
    std::vector<double> divergence;    // [members] likewise
    std::vector<std::int64_t> tokens;  // [members] in the whole batch
  };
  Gradients compute_gradients(std::int64_t step);
  [[nodiscard]] const PassSize& pass_size() const { return pass_size_; }
  /// Shapes of batches the device has recorded and repeats (see GradientPass).
  [[nodiscard]] std::size_t recordings() const { return pass_->recordings(); }

 private:
  [[nodiscard]] std::vector<std::vector<std::size_t>> batches(std::int64_t step) const;
  [[nodiscard]] std::vector<std::vector<std::size_t>> own_share(
      const std::vector<std::vector<std::size_t>>& whole) const;
  [[nodiscard]] std::vector<std::int64_t> accumulate_gradients(std::int64_t step);
  void accumulate(const std::vector<std::vector<std::size_t>>& examples, PassInputs& inputs);
  void take_in(const StepResult& result);
  void log_interval(bool of_all);
  [[nodiscard]] bool validation_is_due() const;
  void validate_if_pending(TrainingControl& control);
  void validate(const std::vector<PredictionShare>& shares);
  [[nodiscard]] nlohmann::json validation_metrics(const std::vector<PredictionShare>& shares, ValidationReport& report);

  TrainerInputs in_;
  DataOrder order_;
  std::int64_t total_steps_ = 0;
  PassSize pass_size_;
  std::int64_t step_ = 0;
  FrozenPrefix prefix_;
  std::unique_ptr<Predictor> validation_;
  Predictions validated_;              // by the last validation
  TokenPredictions validated_tokens_;  // likewise, completion
  std::int64_t validated_step_ = -1;   // after which it was made
  bool validation_pending_ = false;
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<GradientPass> pass_;
  BatchPadding padding_;
  AdamW optimiser_;
  StepResults results_;
  Stopping stopping_;
  IntervalLog interval_;
  at::Tensor continued_;
};

}  // namespace chorale
