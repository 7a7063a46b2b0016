#include "distributed/node_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

constexpr std::size_t kMostNamed = 8;  // ranges of groups; of more nobody reads the list

// Ranks of each node.
std::vector<std::int64_t> node_sizes(const NodeMap& nodes) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(nodes.nodes()));
  for (const std::int64_t node : nodes.node_of) ++sizes[static_cast<std::size_t>(node)];
  return sizes;
}

// "0-3, 7": groups whose numbers follow each other together.
std::string list_of(const std::vector<std::int64_t>& groups) {
  std::string text;
  std::size_t named = 0;
  for (std::size_t first = 0; first < groups.size();) {
    std::size_t end = first + 1;
    while (end < groups.size() && groups[end] == groups[end - 1] + 1) ++end;
    if (named++ == kMostNamed) return text + ", ...";
    if (!text.empty()) text += ", ";
    text += end == first + 1 ? std::to_string(groups[first]) : fmt::format("{}-{}", groups[first], groups[end - 1]);
    first = end;
  }
  return text;
}

// "2", or "2 to 3" where groups differ.
std::string ranks_of(const Placement& placement, const std::vector<std::int64_t>& groups) {
  std::int64_t least = placement.ranks;
  std::int64_t most = 0;
  for (const std::int64_t group : groups) {
    const std::int64_t ranks = placement.groups[static_cast<std::size_t>(group)].ranks;
    least = std::min(least, ranks);
    most = std::max(most, ranks);
  }
  return least == most ? std::to_string(most) : fmt::format("{} to {}", least, most);
}

std::string explained(CrossingReason reason, const std::string& ranks, const std::vector<std::int64_t>& sizes) {
  const auto [least, most] = std::minmax_element(sizes.begin(), sizes.end());
  const std::string size = *least == *most ? std::to_string(*most) : fmt::format("{} to {}", *least, *most);
  switch (reason) {
    case CrossingReason::larger_than_node:
      return fmt::format(
          "{} ranks each do not fit into nodes of {}. Fewer ranks, or a number of members that shares a larger "
          "divisor with theirs, make smaller groups.",
          ranks, size);
    case CrossingReason::scattered:
      return fmt::format(
          "{} ranks each, and ranks of a node are not numbered one behind the other. Start them node by node: "
          "mpirun --map-by core, or srun --distribution=block.",
          ranks);
    case CrossingReason::uneven:
      return fmt::format("nodes of {} ranks do not hold whole groups of {}. A multiple of {} ranks on every node does.",
                         size, ranks, ranks);
  }
  return "";
}

}  // namespace

std::int64_t NodeMap::nodes() const {
  return node_of.empty() ? 0 : *std::max_element(node_of.begin(), node_of.end()) + 1;
}

std::int64_t NodeMap::most_ranks() const {
  std::int64_t most = 0;
  for (const std::int64_t ranks : node_sizes(*this)) most = std::max(most, ranks);
  return most;
}

NodeMap node_map(const std::vector<std::int64_t>& names) {
  NodeMap result;
  std::map<std::int64_t, std::int64_t> numbers;
  for (const std::int64_t name : names) {
    result.node_of.push_back(numbers.try_emplace(name, static_cast<std::int64_t>(numbers.size())).first->second);
  }
  return result;
}

NodeMap even_nodes(std::int64_t ranks, std::int64_t per_node) {
  CHORALE_ASSERT(ranks >= 1 && per_node >= 1, fmt::format("{} ranks on nodes of {}", ranks, per_node));
  NodeMap result;
  result.node_of.reserve(static_cast<std::size_t>(ranks));
  for (std::int64_t rank = 0; rank < ranks; ++rank) result.node_of.push_back(rank / per_node);
  return result;
}

std::vector<Crossing> crossings(const Placement& placement, const NodeMap& nodes) {
  const std::vector<std::int64_t>& node_of = nodes.node_of;
  CHORALE_ASSERT(std::ssize(node_of) == placement.ranks,
                 fmt::format("the nodes of {} ranks, of which {} are placed", node_of.size(), placement.ranks));
  const std::int64_t largest = nodes.most_ranks();
  std::int64_t changes = 0;  // of the node, from a rank to the next
  for (std::size_t rank = 1; rank < node_of.size(); ++rank) changes += node_of[rank] != node_of[rank - 1] ? 1 : 0;
  const bool scattered = changes >= nodes.nodes();
  std::vector<Crossing> result;
  for (std::size_t index = 0; index < placement.groups.size(); ++index) {
    const PlacementGroup& group = placement.groups[index];
    const auto first = node_of.begin() + group.first_rank;
    const bool inside = std::all_of(first, first + group.ranks, [&](std::int64_t node) { return node == *first; });
    if (inside) continue;
    result.push_back({static_cast<std::int64_t>(index), group.ranks > largest ? CrossingReason::larger_than_node
                                                        : scattered           ? CrossingReason::scattered
                                                                              : CrossingReason::uneven});
  }
  return result;
}

std::string describe_crossings(const Placement& placement, const NodeMap& nodes) {
  std::map<CrossingReason, std::vector<std::int64_t>> by_reason;
  for (const Crossing& crossing : crossings(placement, nodes)) by_reason[crossing.reason].push_back(crossing.group);
  const std::vector<std::int64_t> sizes = node_sizes(nodes);
  std::string text;
  for (const auto& [reason, groups] : by_reason) {
    text += fmt::format("{} {} cross{} nodes: {}\n", groups.size() == 1 ? "group" : "groups", list_of(groups),
                        groups.size() == 1 ? "es" : "", explained(reason, ranks_of(placement, groups), sizes));
  }
  return text;
}

}  // namespace chorale
