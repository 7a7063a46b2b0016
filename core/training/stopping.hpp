// Which members still train, and what their best validation was.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/training/training_config.hpp"

namespace chorale {

/// A member's metrics on the validation set.
struct ValidationMetrics {
  double nll = 0.0;
  double accuracy = 0.0;
  double ece = 0.0;
};

/// Where one member stands.
struct MemberState {
  bool training = true;
  bool diverged = false;         // turned non-finite: its adapters are taken away, it predicts as the base
  std::int64_t stopped_at = -1;  // step after which it stopped; -1 while it trains
  std::int64_t best_step = -1;   // step of the best validation; -1 before the first
  double best_value = 0.0;       // of the stopping metric
  std::int64_t since_best = 0;   // validations without improvement
};

/// Early stopping per member (validations without improvement of the metric), with the best adapters kept and restored.
class Stopping {
 public:
  Stopping(std::int64_t members, std::optional<EarlyStopping> config);

  [[nodiscard]] const std::vector<MemberState>& states() const { return states_; }
  [[nodiscard]] bool any_training() const;
  [[nodiscard]] bool all_diverged() const;

  void diverge(std::int64_t member, std::int64_t step);
  /// Takes in a validation after `step`: keeps a member's row of `parameters` when it is its best, stops the member
  /// when its patience is spent. Returns the members that stopped now.
  std::vector<std::int64_t> validated(std::int64_t step, const std::vector<ValidationMetrics>& metrics,
                                      const at::Tensor& parameters);
  /// Puts the best adapters back into the members' rows. Without early stopping, or before a validation, nothing
  /// changes.
  void restore_best(at::Tensor& parameters) const;

  /// The best adapters so far, [members, width]; undefined before the first validation. Rows of members without a best
  /// step are of no meaning.
  [[nodiscard]] const at::Tensor& best() const { return best_; }
  /// Goes on from what was stored; `best` as best() gave it.
  void restore(std::vector<MemberState> states, at::Tensor best);

 private:
  std::optional<EarlyStopping> config_;
  std::vector<MemberState> states_;
  at::Tensor best_;  // [members, width], made at the first validation
};

}  // namespace chorale
