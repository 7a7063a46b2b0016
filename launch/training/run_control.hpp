// Between the steps of a run: checkpoints, and the places where its groups meet.
#pragma once

#include "core/training/training_control.hpp"
#include "launch/training/run_checkpoints.hpp"
#include "launch/training/run_log.hpp"
#include "launch/training/run_world.hpp"
#include "launch/training/step_agreement.hpp"

namespace chorale {

/// Groups need not wait for each other in every step: they meet where the log is written, after validations, where a
/// checkpoint is due and where step_agreement.hpp says so. Between those a group whose members have all stopped only
/// counts along. A run that is asked to stop is saved, and ends by Preempted on all ranks at the same step.
class RunControl : public TrainingControl {
 public:
  struct Boundaries {
    std::int64_t log_every = 1;
    std::int64_t validate_every = 0;  // steps; 0: never
  };
  RunControl(const RunWorld& run, const AdapterBank& bank, Boundaries boundaries, RunCheckpoints& checkpoints,
             RunLog& log);
  /// The trainer that asks; set before it runs.
  void watch(Trainer& trainer) { trainer_ = &trainer; }

  bool go_on(std::int64_t steps_done, bool group_trains) override;
  void validation_made(bool complete) override;
  bool in_all_groups(bool of_this_group) override;

 private:
  [[noreturn]] void stop(const StepAgreement::Outcome& asked);

  const RunWorld& run_;
  const AdapterBank& bank_;
  Boundaries boundaries_;
  RunCheckpoints& checkpoints_;
  RunLog& log_;
  StepAgreement agreement_;
  Trainer* trainer_ = nullptr;
  bool anyone_trains_ = true;
  bool met_ = false;
};

}  // namespace chorale
