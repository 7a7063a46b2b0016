// Sums between two lines of the log.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel/communicator.hpp"
#include "core/training/observer.hpp"

namespace chorale {

/// One member's sums since the last interval ended. Losses are this rank's share, the rest is the same on all ranks.
struct IntervalSums {
  std::int64_t steps = 0;
  std::int64_t tokens = 0;
  double loss = 0.0;
  double divergence = 0.0;
  double gradient_norm = 0.0;
  double learning_rate = 0.0;  // of the last step
};

/// Adds up what the steps report, and turns it into the log's means. Losses are exchanged when an interval ends and
/// never inside a step.
class IntervalLog {
 public:
  IntervalLog(std::vector<std::uint32_t> members, Communicator& group);

  /// loss, divergence: this rank's part of the mean over member `m`'s whole batch.
  void add(std::size_t m, double loss, double divergence, const MemberReport& report);
  /// Ends the interval of the members that `ends` marks, and gives the means of those among them that have trained in
  /// it. Collective over the group.
  [[nodiscard]] std::vector<MemberInterval> finish(const std::vector<bool>& ends);

  /// Moves the whole group's sums to its first rank, so that they can be stored from there. Collective. A run that goes
  /// on and one that is started from what was stored then add the same numbers in the same order.
  void collect();
  /// The sums as they are on this rank, by member.
  [[nodiscard]] const std::vector<IntervalSums>& sums() const { return sums_; }
  /// Tokens each member has trained on since training began, over all ranks.
  [[nodiscard]] const std::vector<std::int64_t>& tokens() const { return tokens_; }
  /// Goes on from what was stored: sums of the whole group, which its first rank takes.
  void restore(std::vector<IntervalSums> sums, std::vector<std::int64_t> tokens);

 private:
  std::vector<std::uint32_t> members_;
  Communicator& group_;
  std::vector<IntervalSums> sums_;
  std::vector<std::int64_t> tokens_;
};

}  // namespace chorale
