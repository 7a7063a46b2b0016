// What happens between steps: where a run is saved, and where groups of ranks that share it meet.
#pragma once

#include <cstdint>

#include "core/base/interruption.hpp"

namespace chorale {

/// The default is a run of one group that nobody saves.
class TrainingControl {
 public:
  TrainingControl() = default;
  TrainingControl(const TrainingControl&) = delete;
  TrainingControl& operator=(const TrainingControl&) = delete;
  virtual ~TrainingControl() = default;

  /// Called by every rank of every group before each step with the number of steps done, and whether a member of its
  /// own group still trains. False ends the training of all groups.
  virtual bool go_on(std::int64_t /*steps_done*/, bool group_trains) { return group_trains; }
  /// Called by every rank of every group after a step that ends with a validation, before the validation counts for
  /// anything; `complete`: this rank's group has predicted the whole set and not been asked to stop on the way. Returns
  /// when that is so in all groups; otherwise throws Preempted on all ranks.
  virtual void validation_made(bool complete) {
    if (!complete) throw Preempted("stopped in the middle of a validation");
  }
  /// True when `of_this_group` holds in every group. Called by all ranks, once, after the last step.
  virtual bool in_all_groups(bool of_this_group) { return of_this_group; }
};

}  // namespace chorale
