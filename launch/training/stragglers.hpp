// Which rank of a group the others wait for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "distributed/placement.hpp"
#include "launch/training/pace.hpp"

namespace chorale {

/// Ranks of a group meet in every step, where their gradients are summed: whoever comes last waits least there. What
/// the others wait longer than it, on average, they wait for it.
struct Straggler {
  std::int64_t rank = 0;
  std::int64_t group = 0;
  std::string host;
  double seconds = 0.0;  // waited for it
  double share = 0.0;    // of the group's time; 0 when nobody waits for anybody
};

/// All groups of several ranks, summed up by rank 0 from meeting to meeting (pace.hpp).
class Stragglers {
 public:
  explicit Stragglers(const Placement& placement);

  /// What every rank tells, by rank.
  void met(const std::vector<RankPace>& ranks);

  /// The rank whose group loses the largest share of its time to it: over about the last ten meetings, and since
  /// training began.
  [[nodiscard]] Straggler lately() const { return worst_of(lately_); }
  [[nodiscard]] Straggler of_all() const { return worst_of(all_); }

  /// "waiting for rank 1 on node2: 35 %", or nothing where it is less than a tenth.
  [[nodiscard]] static std::string remark(const Straggler& straggler);
  /// "slowest: rank 1 on node2; the others of group 0 waited 12.3 s for it, 35 % of their time", or nothing likewise.
  [[nodiscard]] static std::string text(const Straggler& straggler);

 private:
  struct Time {
    double seconds = 0.0;
    double waited = 0.0;
  };
  [[nodiscard]] Straggler worst_of(const std::vector<Time>& ranks) const;

  const Placement& placement_;
  std::vector<Time> lately_;  // [ranks], older meetings counting ever less
  std::vector<Time> all_;
  std::vector<std::string> hosts_;
};

}  // namespace chorale
