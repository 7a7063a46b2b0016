#include "distributed/placement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

// Where part `index` of `parts` begins when `total` things are dealt out as evenly as consecutive parts allow.
std::int64_t part_begin(std::int64_t index, std::int64_t parts, std::int64_t total) {
  return index * total / parts;
}

PlacementGroup group(std::int64_t index, std::int64_t groups, std::int64_t members, std::int64_t ranks) {
  PlacementGroup result;
  result.first_rank = part_begin(index, groups, ranks);
  result.ranks = part_begin(index + 1, groups, ranks) - result.first_rank;
  result.first_member = part_begin(index, groups, members);
  result.members = part_begin(index + 1, groups, members) - result.first_member;
  return result;
}

// The number of groups whose most loaded one has the fewest members per rank; of equals the largest. No group count has
// a largest load below M/P, and a single group has just that; so it is the largest number whose groups all have it.
// With M/P = m/p in lowest terms each of them holds a multiple of p ranks, at least p: there are at most P/p, which is
// the greatest common divisor, and that many of p ranks and m members do.
//
// Whichever nodes the ranks are on, no other choice keeps more of them from talking between nodes at the same load: all
// other such groups are unions of these (or, where p is 1, these are single ranks), and cross whatever theirs cross.
std::int64_t best_group_count(std::int64_t members, std::int64_t ranks) {
  return std::gcd(members, ranks);
}

std::string span_of(const char* one, const char* several, std::int64_t first, std::int64_t count) {
  return count == 1 ? fmt::format("{} {}", one, first) : fmt::format("{} {}-{}", several, first, first + count - 1);
}

std::string number_of(const char* thing, std::int64_t count) {
  return fmt::format("{} {}{}", count, thing, count == 1 ? "" : "s");
}

}  // namespace

std::int64_t Placement::group_of(std::int64_t rank) const {
  CHORALE_ASSERT(rank >= 0 && rank < ranks, fmt::format("rank {} of {} is asked for its group", rank, ranks));
  const auto after = std::upper_bound(groups.begin(), groups.end(), rank,
                                      [](std::int64_t value, const PlacementGroup& g) { return value < g.first_rank; });
  return after - groups.begin() - 1;
}

Placement place(std::int64_t members, std::int64_t ranks, std::optional<std::int64_t> groups) {
  CHORALE_ASSERT(members >= 1 && ranks >= 1, fmt::format("{} members are placed on {} ranks", members, ranks));
  if (groups && (*groups < 1 || *groups > std::min(members, ranks))) {
    throw UsageError(fmt::format(
        "distributed.groups: {} is not possible with {} on {}: every group needs a member and a rank of "
        "its own. Give 1 to {}, or auto.",
        number_of("group", *groups), number_of("member", members), number_of("rank", ranks), std::min(members, ranks)));
  }
  const std::int64_t count = groups ? *groups : best_group_count(members, ranks);
  Placement result{members, ranks, {}};
  for (std::int64_t index = 0; index < count; ++index) result.groups.push_back(group(index, count, members, ranks));
  return result;
}

void check_batch(const Placement& placement, std::int64_t batch_size) {
  for (std::size_t index = 0; index < placement.groups.size(); ++index) {
    const PlacementGroup& group = placement.groups[index];
    if (group.ranks <= batch_size) continue;
    throw UsageError(
        fmt::format("training.batch_size: a batch of {} cannot be shared by the {} ranks of group {} (ranks {}-{}): "
                    "some would have nothing to do. Give at least {}, start fewer ranks, or form more groups "
                    "(distributed.groups).",
                    number_of("example", batch_size), group.ranks, index, group.first_rank,
                    group.first_rank + group.ranks - 1, group.ranks));
  }
}

nlohmann::ordered_json to_json(const Placement& placement) {
  nlohmann::ordered_json groups = nlohmann::ordered_json::array();
  for (const PlacementGroup& group : placement.groups) {
    groups.push_back({{"first_rank", group.first_rank},
                      {"ranks", group.ranks},
                      {"first_member", group.first_member},
                      {"members", group.members}});
  }
  return {{"members", placement.members}, {"ranks", placement.ranks}, {"groups", std::move(groups)}};
}

std::string describe(const Placement& placement) {
  std::string text;
  const std::vector<PlacementGroup>& groups = placement.groups;
  for (std::size_t first = 0; first < groups.size();) {
    const PlacementGroup& group = groups[first];
    std::size_t end = first + 1;
    while (end < groups.size() && groups[end].ranks == group.ranks && groups[end].members == group.members) ++end;
    const auto run = static_cast<std::int64_t>(end - first);
    text += fmt::format("{}: {}, {}", span_of("group", "groups", static_cast<std::int64_t>(first), run),
                        span_of("rank", "ranks", group.first_rank, group.ranks * run),
                        span_of("member", "members", group.first_member, group.members * run));
    if (run > 1)
      text += fmt::format("; each {}, {}", number_of("rank", group.ranks), number_of("member", group.members));
    text += "\n";
    first = end;
  }
  return text;
}

}  // namespace chorale
