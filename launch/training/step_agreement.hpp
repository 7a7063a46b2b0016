// What signals and clocks ask of a run, brought to all ranks at one and the same step.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "distributed/world.hpp"

namespace chorale {

/// Signals reach ranks at different moments, clocks differ, and groups are not at the same step: what is done about
/// either must still be done by all ranks between the same two steps. So they meet, in a reduction of three numbers, at
/// steps that all of them know: the first, and then each time as many steps later as rank 0 takes for about half a
/// second. Meeting costs microseconds, and a run of steps longer than that meets at each.
class StepAgreement {
 public:
  using Clock = std::function<double()>;  // seconds, never running backwards

  /// `save_every`: seconds between checkpoints by rank 0's clock, or nothing. The world must outlive this.
  StepAgreement(World& world, std::optional<double> save_every, Clock clock);

  struct Outcome {
    int signal = 0;         // that asked some rank to stop; 0: nobody was asked
    std::int64_t rank = 0;  // the lowest of those ranks
    bool save = false;      // the time between checkpoints is over
  };
  /// Called by all ranks before each step, with the number of steps done. The same on every rank.
  [[nodiscard]] Outcome before_step(std::int64_t steps_done);
  /// Meets now. Collective.
  [[nodiscard]] Outcome meet(std::int64_t steps_done);
  /// A checkpoint was made, or tried: the time to the next one begins anew.
  void saved() { last_save_ = clock_(); }

 private:
  [[nodiscard]] std::int64_t steps_until_next(std::int64_t steps_done, double now);

  World& world_;
  std::optional<double> save_every_;
  Clock clock_;
  double last_save_;
  std::int64_t next_ = 0;      // step of the next meeting
  std::int64_t met_at_ = -1;   // step of the last one; -1: there was none
  double met_time_ = 0.0;      // when
  std::int64_t interval_ = 1;  // steps between the last two
};

}  // namespace chorale
