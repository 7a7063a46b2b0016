#include "distributed/placement.hpp"

#include <algorithm>
#include <sstream>

#include "core/base/errors.hpp"
#include "support/catch.hpp"

using namespace chorale;

namespace {

constexpr std::int64_t kMost = 64;

// What is wrong with a placement by the rules alone; empty when nothing is.
std::string fault_of(const Placement& placement, std::int64_t members, std::int64_t ranks) {
  if (placement.members != members || placement.ranks != ranks) return "other numbers";
  std::int64_t next_rank = 0;
  std::int64_t next_member = 0;
  for (std::size_t g = 0; g < placement.groups.size(); ++g) {
    const PlacementGroup& group = placement.groups[g];
    if (group.first_rank != next_rank || group.first_member != next_member) return "a gap or an overlap";
    if (group.ranks < 1 || group.members < 1) return "an empty group";
    for (std::int64_t rank = group.first_rank; rank < group.first_rank + group.ranks; ++rank) {
      if (placement.group_of(rank) != static_cast<std::int64_t>(g)) return "group_of disagrees";
    }
    next_rank += group.ranks;
    next_member += group.members;
  }
  if (next_rank != ranks || next_member != members) return "somebody is left over";
  const auto spread = [&](std::int64_t PlacementGroup::*size) {
    const auto [least, most] = std::minmax_element(placement.groups.begin(), placement.groups.end(),
                                                   [&](const auto& a, const auto& b) { return a.*size < b.*size; });
    return (*most).*size - (*least).*size;
  };
  return spread(&PlacementGroup::ranks) > 1 || spread(&PlacementGroup::members) > 1 ? "uneven groups" : "";
}

// A fraction, compared without rounding.
struct Load {
  std::int64_t members = 0;
  std::int64_t ranks = 1;
};
bool operator<(const Load& a, const Load& b) {
  return a.members * b.ranks < b.members * a.ranks;
}

// The contract's words, one by one: each rank and member finds its group by counting, then groups are weighed.
std::int64_t brute_force_groups(std::int64_t members, std::int64_t ranks) {
  std::vector<Load> largest(static_cast<std::size_t>(std::min(members, ranks) + 1));
  for (std::int64_t groups = 1; groups <= std::min(members, ranks); ++groups) {
    std::vector<Load> loads(static_cast<std::size_t>(groups), Load{0, 0});
    const auto deal = [&](std::int64_t total, std::int64_t Load::*count) {
      for (std::int64_t thing = 0; thing < total; ++thing) {
        std::int64_t group = 0;
        while ((group + 1) * total / groups <= thing) ++group;
        ++(loads[static_cast<std::size_t>(group)].*count);
      }
    };
    deal(members, &Load::members);
    deal(ranks, &Load::ranks);
    largest[static_cast<std::size_t>(groups)] = *std::max_element(loads.begin(), loads.end());
  }
  std::int64_t best = static_cast<std::int64_t>(largest.size()) - 1;
  for (std::int64_t groups = best - 1; groups >= 1; --groups) {
    if (largest[static_cast<std::size_t>(groups)] < largest[static_cast<std::size_t>(best)]) best = groups;
  }
  return best;
}

std::string refusal(std::int64_t members, std::int64_t ranks, std::int64_t groups) {
  try {
    static_cast<void>(place(members, ranks, groups));
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("every member and every rank is placed exactly once, in order, in even groups", "[placement]") {
  for (std::int64_t members = 1; members <= kMost; ++members) {
    for (std::int64_t ranks = 1; ranks <= kMost; ++ranks) {
      const std::int64_t most = std::min(members, ranks);
      std::string fault = fault_of(place(members, ranks, std::nullopt), members, ranks);
      for (std::int64_t groups = 1; groups <= most && fault.empty(); ++groups) {
        const Placement placement = place(members, ranks, groups);
        fault = fault_of(placement, members, ranks);
        if (static_cast<std::int64_t>(placement.groups.size()) != groups) fault = "another number of groups";
      }
      INFO(members << " members, " << ranks << " ranks");
      REQUIRE(fault == "");
    }
  }
}

TEST_CASE("auto takes the lightest largest load, and of equals the most groups", "[placement]") {
  for (std::int64_t members = 1; members <= kMost; ++members) {
    for (std::int64_t ranks = 1; ranks <= kMost; ++ranks) {
      const std::int64_t expected = brute_force_groups(members, ranks);
      const Placement chosen = place(members, ranks, std::nullopt);
      INFO(members << " members, " << ranks << " ranks");
      REQUIRE(static_cast<std::int64_t>(chosen.groups.size()) == expected);
      REQUIRE(chosen == place(members, ranks, expected));
    }
  }
}

TEST_CASE("the placements named in the design", "[placement]") {
  CHECK(place(5, 2, std::nullopt).groups == std::vector<PlacementGroup>{{0, 2, 0, 5}});
  CHECK(place(8, 4, std::nullopt).groups ==
        std::vector<PlacementGroup>{{0, 1, 0, 2}, {1, 1, 2, 2}, {2, 1, 4, 2}, {3, 1, 6, 2}});
  CHECK(place(1, 3, std::nullopt).groups == std::vector<PlacementGroup>{{0, 3, 0, 1}});
  CHECK(place(5, 2, 2).groups == std::vector<PlacementGroup>{{0, 1, 0, 2}, {1, 1, 2, 3}});
}

TEST_CASE("impossible groups and batches are refused with the key and what is possible", "[placement]") {
  CHECK(refusal(2, 4, 3).find("distributed.groups: 3 groups is not possible with 2 members on 4 ranks") == 0);
  CHECK(refusal(4, 2, 3).find("Give 1 to 2, or auto") != std::string::npos);
  CHECK(refusal(4, 4, 0) != "");
  CHECK(refusal(4, 4, -1) != "");
  CHECK(refusal(4, 4, 4) == "");
  CHECK_NOTHROW(check_batch(place(1, 3, std::nullopt), 3));
  CHECK_THROWS_AS(check_batch(place(1, 3, std::nullopt), 2), UsageError);
  CHECK_NOTHROW(check_batch(place(8, 4, std::nullopt), 1));
}

TEST_CASE("a placement describes itself in few short lines and in JSON", "[placement]") {
  CHECK(describe(place(5, 2, std::nullopt)) == "group 0: ranks 0-1, members 0-4\n");
  CHECK(describe(place(8, 4, std::nullopt)) == "groups 0-3: ranks 0-3, members 0-7; each 1 rank, 2 members\n");
  CHECK(describe(place(3, 2, 2)) == "group 0: rank 0, member 0\ngroup 1: rank 1, members 1-2\n");
  std::istringstream lines(describe(place(1'000'000, 700'001, 700'000)));
  for (std::string line; std::getline(lines, line);) REQUIRE(line.size() <= 100);
  CHECK(to_json(place(3, 2, 2)).dump() ==
        R"({"members":3,"ranks":2,"groups":[{"first_rank":0,"ranks":1,"first_member":0,"members":1},)"
        R"({"first_rank":1,"ranks":1,"first_member":1,"members":2}]})");
}
