// Which node each rank is on, and what that means for a placement: pure functions of numbers.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "distributed/placement.hpp"

namespace chorale {

/// The node of every rank: ranks with the same number share a machine's memory. Nodes count from 0 in the order of
/// their first ranks.
struct NodeMap {
  std::vector<std::int64_t> node_of;  // [ranks]

  bool operator==(const NodeMap&) const = default;
  [[nodiscard]] std::int64_t nodes() const;
  /// Ranks of the node that has most.
  [[nodiscard]] std::int64_t most_ranks() const;
};

/// The same for any numbers that are equal for ranks of one node, such as the node's lowest rank.
[[nodiscard]] NodeMap node_map(const std::vector<std::int64_t>& names);

/// `ranks` ranks numbered node by node, `per_node` on each and the rest on the last.
[[nodiscard]] NodeMap even_nodes(std::int64_t ranks, std::int64_t per_node);

/// Why a group's ranks are not all on one node.
enum class CrossingReason {
  larger_than_node,  // no node holds as many ranks
  scattered,         // a node's ranks are not numbered one behind the other
  uneven             // nodes hold no whole number of groups
};

struct Crossing {
  std::int64_t group = 0;
  CrossingReason reason = CrossingReason::uneven;

  bool operator==(const Crossing&) const = default;
};

/// The groups whose ranks are on more than one node, ascending: their gradients travel between machines.
[[nodiscard]] std::vector<Crossing> crossings(const Placement& placement, const NodeMap& nodes);

/// A line for each reason, ended by a line feed: which groups cross nodes, why, and what keeps them inside one. "" when
/// none does.
[[nodiscard]] std::string describe_crossings(const Placement& placement, const NodeMap& nodes);

}  // namespace chorale
