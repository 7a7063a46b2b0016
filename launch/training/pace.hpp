// How fast the groups of a run are beside each other, from what they tell when they meet.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "distributed/placement.hpp"

namespace chorale {

/// What one rank has done since the meeting before.
struct RankPace {
  std::int64_t group = 0;
  bool leads = false;            // speaks for its group; of the others only the memory counts
  std::int64_t steps = 0;        // in which a member of its group trained
  double seconds = 0.0;          // at work on them and their validations, without waiting for other groups
  std::int64_t tokens = 0;       // of whole batches, all members of the group
  std::int64_t peak_memory = 0;  // bytes, since the process began
  double waited = 0.0;           // of the seconds, where its group sums gradients (stragglers.hpp)
  std::string host;
};

[[nodiscard]] nlohmann::json to_json(const RankPace& pace);
[[nodiscard]] RankPace rank_pace(const nlohmann::json& json);

/// The slowest of the groups that train; `times`: its time per step as a multiple of the fastest group's. One at most
/// as slow as all others: 1.
struct SlowestGroup {
  std::int64_t group = 0;
  double times = 1.0;
};

/// All groups, summed up by rank 0 from meeting to meeting.
class Pace {
 public:
  explicit Pace(const Placement& placement);

  /// One meeting: what every rank tells. One at which no group has made a step changes no pace.
  void met(const std::vector<RankPace>& ranks);

  [[nodiscard]] std::int64_t tokens() const { return tokens_; }            // of all groups, up to the last meeting
  [[nodiscard]] std::int64_t peak_memory() const { return peak_memory_; }  // bytes, of the largest rank
  /// Tokens of all groups together per step, lately; 0 before the first.
  [[nodiscard]] double tokens_per_step() const { return tokens_per_step_; }
  /// How many steps the slowest group lately makes while `group` makes one: at most 1.
  [[nodiscard]] double slowest_per_step_of(std::int64_t group) const;
  [[nodiscard]] SlowestGroup slowest() const { return slowest_of(lately_); }      // over about the last ten meetings
  [[nodiscard]] SlowestGroup slowest_of_all() const { return slowest_of(all_); }  // since training began

  /// "slowest: group 2 (ranks 4-5) 1.4x", or nothing where it is slower by less than a tenth.
  [[nodiscard]] std::string text(const SlowestGroup& slowest) const;

 private:
  struct Work {
    double steps = 0.0;
    double seconds = 0.0;
    [[nodiscard]] double per_step() const { return seconds / steps; }
  };
  [[nodiscard]] static SlowestGroup slowest_of(const std::vector<Work>& groups);

  const Placement& placement_;
  std::vector<Work> lately_;  // [groups], older meetings counting ever less
  std::vector<Work> all_;
  std::int64_t tokens_ = 0;
  std::int64_t peak_memory_ = 0;
  double tokens_per_step_ = 0.0;
};

}  // namespace chorale
