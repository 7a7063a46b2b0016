// Placements of simulated worlds, up to 1,024 ranks over nodes of all kinds, against counting.
#include "distributed/node_map.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <set>
#include <sstream>

#include "support/catch.hpp"

using namespace chorale;

namespace {

// Ranks whose group has others on other nodes, counted one by one.
std::int64_t ranks_that_cross(const Placement& placement, const NodeMap& nodes, std::vector<std::int64_t>* groups) {
  std::int64_t count = 0;
  for (std::size_t index = 0; index < placement.groups.size(); ++index) {
    const PlacementGroup& group = placement.groups[index];
    std::set<std::int64_t> seen;
    for (std::int64_t rank = 0; rank < placement.ranks; ++rank) {
      if (rank >= group.first_rank && rank < group.first_rank + group.ranks)
        seen.insert(nodes.node_of[static_cast<std::size_t>(rank)]);
    }
    if (seen.size() < 2) continue;
    count += group.ranks;
    if (groups != nullptr) groups->push_back(static_cast<std::int64_t>(index));
  }
  return count;
}

// Members and ranks of the most loaded group, by the formula written out anew.
std::pair<std::int64_t, std::int64_t> largest_load(std::int64_t groups, std::int64_t members, std::int64_t ranks) {
  std::pair<std::int64_t, std::int64_t> worst{0, 1};  // a fraction
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t m = (g + 1) * members / groups - g * members / groups;
    const std::int64_t r = (g + 1) * ranks / groups - g * ranks / groups;
    if (m * worst.second > worst.first * r) worst = {m, r};
  }
  return worst;
}

bool equal(const std::pair<std::int64_t, std::int64_t>& a, const std::pair<std::int64_t, std::int64_t>& b) {
  return a.first * b.second == b.first * a.second;
}

// Everything a placement of a world promises; "" when it holds. `exhaustive`: all other numbers of groups are tried.
std::string fault_of(std::int64_t members, std::int64_t ranks, const NodeMap& nodes, bool exhaustive) {
  const Placement chosen = place(members, ranks, std::nullopt);
  std::vector<int> held(static_cast<std::size_t>(members));
  std::vector<int> placed(static_cast<std::size_t>(ranks));
  for (const PlacementGroup& group : chosen.groups) {
    for (std::int64_t m = 0; m < group.members; ++m) ++held.at(static_cast<std::size_t>(group.first_member + m));
    for (std::int64_t r = 0; r < group.ranks; ++r) ++placed.at(static_cast<std::size_t>(group.first_rank + r));
  }
  const auto once = [](int count) { return count == 1; };
  if (!std::all_of(held.begin(), held.end(), once)) return "a member is not held by exactly one group";
  if (!std::all_of(placed.begin(), placed.end(), once)) return "a rank is not in exactly one group";
  std::vector<std::int64_t> expected;
  const std::int64_t crossing = ranks_that_cross(chosen, nodes, &expected);
  std::vector<std::int64_t> found;
  for (const Crossing& group : crossings(chosen, nodes)) found.push_back(group.group);
  if (found != expected) return "other groups cross nodes";
  const std::string text = describe_crossings(chosen, nodes);
  if (text.empty() != expected.empty()) return "what is said of nodes";
  const auto count = static_cast<std::int64_t>(chosen.groups.size());
  const auto load = largest_load(count, members, ranks);
  for (std::int64_t groups = 1; exhaustive && groups <= std::min(members, ranks); ++groups) {
    const auto other = largest_load(groups, members, ranks);
    if (other.first * load.second < load.first * other.second) return "a lighter number of groups";
    if (!equal(other, load)) continue;
    if (groups > count) return "more groups at the same load";
    if (ranks_that_cross(place(members, ranks, groups), nodes, nullptr) < crossing)
      return "fewer ranks would talk between nodes at the same load";
  }
  return "";
}

// Consecutive ranks on nodes of random sizes, ranks dealt out in turn, ranks anywhere.
std::vector<NodeMap> random_maps(std::int64_t ranks, std::mt19937& random) {
  std::vector<NodeMap> maps = {even_nodes(ranks, ranks),
                               even_nodes(ranks, std::uniform_int_distribution<std::int64_t>(1, ranks)(random))};
  std::vector<std::int64_t> names;
  for (std::int64_t node = 0; std::ssize(names) < ranks; ++node) {
    const auto size = std::uniform_int_distribution<std::size_t>(1, 8)(random);
    names.insert(names.end(), std::min(size, static_cast<std::size_t>(ranks) - names.size()), node);
  }
  maps.push_back(node_map(names));
  std::shuffle(names.begin(), names.end(), random);
  maps.push_back(node_map(names));
  for (std::int64_t rank = 0; rank < ranks; ++rank) names[static_cast<std::size_t>(rank)] = rank % 3;
  maps.push_back(node_map(names));
  return maps;
}

}  // namespace

TEST_CASE("nodes are numbered by their first ranks", "[placement]") {
  CHECK(node_map({4, 4, 0, 0, 4, 9}).node_of == std::vector<std::int64_t>{0, 0, 1, 1, 0, 2});
  CHECK(node_map({4, 4, 0, 0, 4, 9}).nodes() == 3);
  CHECK(even_nodes(5, 2).node_of == std::vector<std::int64_t>{0, 0, 1, 1, 2});
  CHECK(NodeMap().nodes() == 0);
}

TEST_CASE("every small world is placed as the rule says, whatever its nodes", "[placement]") {
  std::mt19937 random(7);
  int worlds = 0;
  for (std::int64_t members = 1; members <= 24; ++members) {
    for (std::int64_t ranks = 1; ranks <= 24; ++ranks) {
      for (const NodeMap& nodes : random_maps(ranks, random)) {
        INFO(members << " members, " << ranks << " ranks, " << nodes.nodes() << " nodes");
        REQUIRE(fault_of(members, ranks, nodes, true) == "");
        ++worlds;
      }
    }
  }
  CHECK(worlds == 24 * 24 * 5);
}

TEST_CASE("large worlds too, up to 1,024 ranks", "[placement]") {
  std::mt19937 random(11);
  const auto between = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  for (int trial = 0; trial < 400; ++trial) {
    // Numbers with common divisors, or every group would be the whole world.
    const std::int64_t divisor = between(1, 32);
    const std::int64_t members = divisor * between(1, 8);
    const std::int64_t ranks = trial == 0 ? 1024 : divisor * between(1, 1024 / divisor);
    for (const NodeMap& nodes : random_maps(ranks, random)) {
      INFO(members << " members, " << ranks << " ranks, " << nodes.nodes() << " nodes");
      REQUIRE(fault_of(members, ranks, nodes, trial % 40 == 0) == "");
    }
  }
}

TEST_CASE("why a group crosses nodes, and what would keep it inside one", "[placement]") {
  CHECK(describe_crossings(place(16, 32, std::nullopt), even_nodes(32, 8)) == "");
  CHECK(describe_crossings(place(4, 8, std::nullopt), even_nodes(8, 3)) ==
        "group 1 crosses nodes: nodes of 2 to 3 ranks do not hold whole groups of 2. A multiple of 2 ranks on every "
        "node does.\n");
  CHECK(describe_crossings(place(2, 8, std::nullopt), even_nodes(8, 2)) ==
        "groups 0-1 cross nodes: 4 ranks each do not fit into nodes of 2. Fewer ranks, or a number of members that "
        "shares a larger divisor with theirs, make smaller groups.\n");
  CHECK(describe_crossings(place(2, 4, std::nullopt), node_map({0, 1, 0, 1})) ==
        "groups 0-1 cross nodes: 2 ranks each, and ranks of a node are not numbered one behind the other. Start them "
        "node by node: mpirun --map-by core, or srun --distribution=block.\n");
  CHECK(crossings(place(8, 8, std::nullopt), node_map({0, 1, 0, 1, 0, 1, 0, 1})).empty());
  // A list as long as the world is cut.
  const std::string many = describe_crossings(place(100, 300, std::nullopt), even_nodes(300, 4));
  CHECK(many.size() < 300);
  CHECK(many.find(", ...") != std::string::npos);
}
