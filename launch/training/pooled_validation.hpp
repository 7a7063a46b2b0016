// How well the ensemble as a whole does on the validation set while it trains.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "core/calibration/evaluation_config.hpp"
#include "core/ensemble/predictions.hpp"
#include "core/training/observer.hpp"
#include "launch/training/run_world.hpp"

namespace chorale {

/// Keeps what this rank's group predicted at its last validation until all groups' predictions are put together.
class PooledValidation {
 public:
  /// `run` must outlive this. `members`: of the whole ensemble.
  PooledValidation(const RunWorld& run, EvaluationConfig evaluation, std::size_t members);

  /// Called with every validation of this rank's group. Members that others wait for are no ensemble by themselves, so
  /// theirs are not kept.
  void take(const ValidationReport& report);
  /// On rank 0 the metrics {nll, accuracy, ece} (completion: nll) of the mean of all members' probabilities, members
  /// that have stopped as they were then; null when a group has not validated since the last call, as it no longer does
  /// once all its members have stopped, and on other ranks. Collective over all ranks, but with one group only its
  /// ranks' own affair.
  [[nodiscard]] nlohmann::json metrics();

 private:
  [[nodiscard]] std::optional<std::vector<float>> all_values();

  const RunWorld& run_;
  EvaluationConfig evaluation_;
  std::size_t members_;
  bool pending_ = false;
  // One of them holds something: choices for multiple choice, tokens for completion.
  Predictions choices_;
  TokenPredictions tokens_;
};

}  // namespace chorale
