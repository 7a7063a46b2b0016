// What a training run tells whoever watches it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/ensemble/predictions.hpp"
#include "core/training/stopping.hpp"

namespace chorale {

/// One member's numbers of one step.
struct MemberReport {
  std::uint32_t member = 0;  // global number
  bool training = true;      // false: it was stopped before this step, the other numbers are of no meaning
  double loss = 0.0;         // cross-entropy over this rank's share of its batch, scaled up to the whole batch
  double divergence = 0.0;   // KL to the base, likewise, before its weight; 0 without the regulariser
  double learning_rate = 0.0;
  double gradient_norm = 0.0;  // of the whole batch, before clipping
  std::int64_t tokens = 0;     // of its whole batch, over all ranks
};

struct StepReport {
  std::int64_t step = 0;  // steps done, so from 1
  std::int64_t total_steps = 0;
  double epoch = 0.0;  // epochs done, in parts
  std::vector<MemberReport> members;
};

/// One member's means since the last logging interval ended, over all ranks of its group.
struct MemberInterval {
  std::uint32_t member = 0;
  double loss = 0.0;
  double divergence = 0.0;
  double learning_rate = 0.0;  // of the last step
  double gradient_norm = 0.0;
  std::int64_t tokens = 0;           // since training began
  std::int64_t interval_tokens = 0;  // in this interval
};

struct IntervalReport {
  std::int64_t step = 0;
  double epoch = 0.0;
  std::vector<MemberInterval> members;  // those that trained in it
};

struct ValidationReport {
  std::int64_t step = 0;
  std::vector<std::uint32_t> members;
  std::vector<ValidationMetrics> metrics;
  std::vector<bool> training;  // until this validation; the others are looked at along with them
  // What the metrics were computed from, as long as the call lasts: choices for multiple choice, tokens for completion.
  const Predictions* choices = nullptr;
  const TokenPredictions* tokens = nullptr;
};

/// All calls come from the training thread, on every rank of a group, with the same numbers but for losses and
/// divergences: those of a StepReport are each rank's own, those of an IntervalReport are whole on the first rank only.
class TrainingObserver {
 public:
  TrainingObserver() = default;
  TrainingObserver(const TrainingObserver&) = delete;
  TrainingObserver& operator=(const TrainingObserver&) = delete;
  virtual ~TrainingObserver() = default;

  virtual void stepped(const StepReport& /*report*/) {}
  /// Every training.log_every steps and after the last one, and for a member that stops when it does.
  virtual void logged(const IntervalReport& /*report*/) {}
  virtual void validated(const ValidationReport& /*report*/) {}
  /// Something a person should know: a member stopped or diverged, a set does not fit the cache.
  virtual void noted(const std::string& /*message*/, bool /*warning*/) {}
};

}  // namespace chorale
