// What a training run tells whoever watches it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/training/stopping.hpp"

namespace chorale {

/// One member's numbers of one step.
struct MemberReport {
  std::uint32_t member = 0;  // global number
  bool training = true;      // false: it was stopped before this step, the other numbers are of no meaning
  double loss = 0.0;         // cross-entropy, mean over its batch
  double divergence = 0.0;   // KL to the base, before its weight; 0 without the regulariser
  double learning_rate = 0.0;
  double gradient_norm = 0.0;  // before clipping
};

struct StepReport {
  std::int64_t step = 0;  // steps done, so from 1
  std::int64_t total_steps = 0;
  double epoch = 0.0;  // epochs done, in parts
  std::vector<MemberReport> members;
  std::int64_t tokens = 0;  // processed in this step, all members of this rank, common prefixes counted once per member
};

struct ValidationReport {
  std::int64_t step = 0;
  std::vector<std::uint32_t> members;
  std::vector<ValidationMetrics> metrics;
};

/// All calls come from the training thread.
class TrainingObserver {
 public:
  TrainingObserver() = default;
  TrainingObserver(const TrainingObserver&) = delete;
  TrainingObserver& operator=(const TrainingObserver&) = delete;
  virtual ~TrainingObserver() = default;

  virtual void stepped(const StepReport& /*report*/) {}
  virtual void validated(const ValidationReport& /*report*/) {}
  /// Something a person should know: a member stopped or diverged, a set does not fit the cache.
  virtual void noted(const std::string& /*message*/, bool /*warning*/) {}
};

}  // namespace chorale
