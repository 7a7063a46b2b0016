// Which ranks hold which members: a pure function of the two numbers and the recipe's wish.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace chorale {

/// Consecutive ranks that hold the same consecutive members and share every batch of theirs.
struct PlacementGroup {
  std::int64_t first_rank = 0;
  std::int64_t ranks = 0;
  std::int64_t first_member = 0;
  std::int64_t members = 0;

  bool operator==(const PlacementGroup&) const = default;
};

struct Placement {
  std::int64_t members = 0;
  std::int64_t ranks = 0;
  std::vector<PlacementGroup> groups;

  bool operator==(const Placement&) const = default;

  /// Index of the group a rank belongs to.
  [[nodiscard]] std::int64_t group_of(std::int64_t rank) const;
};

/// Group g of G holds ranks floor(gP/G) to floor((g+1)P/G)-1 and members floor(gM/G) to floor((g+1)M/G)-1. Without
/// `groups` G <= min(M, P) is the number whose most loaded group has the fewest members per rank; of equals the
/// largest, because more groups exchange less, and none of the equals keeps more ranks inside their nodes
/// (node_map.hpp). UsageError naming distributed.groups when it exceeds the members or the ranks.
[[nodiscard]] Placement place(std::int64_t members, std::int64_t ranks, std::optional<std::int64_t> groups);

/// Refuses (UsageError naming training.batch_size) a batch with fewer examples than a group has ranks.
void check_batch(const Placement& placement, std::int64_t batch_size);

/// For checkpoints and metrics: {"members": M, "ranks": P, "groups": [{"first_rank", "ranks", "first_member",
/// "members"}, ...]}.
[[nodiscard]] nlohmann::ordered_json to_json(const Placement& placement);

/// One line per group for logs, at most 80 columns, each ended by a line feed; runs of equal groups are folded.
[[nodiscard]] std::string describe(const Placement& placement);

}  // namespace chorale
