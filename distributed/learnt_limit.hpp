// How long a wait that comes in every step may last before something must be wrong.
#pragma once

#include <algorithm>
#include <cstdint>

namespace chorale {

/// The first waits last as long as the slowest rank takes to load and to warm up, so only the recipe's limit holds for
/// them. After a few steps, 20 times the longest seen does, but never less than half a minute (a machine may have
/// hiccups) and never more than the recipe says. Seconds.
class LearntLimit {
 public:
  static constexpr std::int64_t kFirst = 5;
  static constexpr double kFactor = 20.0;
  static constexpr double kLeast = 30.0;

  /// A step is over, whose longest wait was this.
  void saw(double seconds) {
    ++steps_;
    longest_ = std::max(longest_, seconds);
  }
  [[nodiscard]] double of(double recipe_limit) const {
    if (steps_ < kFirst) return recipe_limit;
    return std::min(recipe_limit, std::max(kLeast, kFactor * longest_));
  }

 private:
  std::int64_t steps_ = 0;
  double longest_ = 0.0;
};

}  // namespace chorale
