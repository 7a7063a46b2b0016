#include "distributed/shared_weights.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace chorale {
namespace {

// Every rank's text on every rank.
std::vector<std::string> texts_of_all(const std::string& text, World& world) {
  std::vector<std::string> texts;
  for (const std::vector<std::byte>& bytes : world.everyone().all_gather(std::as_bytes(std::span(text)))) {
    texts.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return texts;
}

}  // namespace

std::shared_ptr<const SharedWeights> share_weights(bool willing, World& world) {
  if (world.size() == 1) return nullptr;
  const std::vector<std::int64_t>& node_of = world.nodes().node_of;
  const std::int64_t node = node_of[static_cast<std::size_t>(world.rank())];
  willing = willing && world.node_size() > 1;
  std::optional<SharedMemory> memory;
  if (willing && world.node_rank() == 0) memory = SharedMemory::create();
  // A node's first rank makes it, the others follow; whoever has nothing to say or cannot follow spoils it for all.
  const std::vector<std::string> addresses = texts_of_all(memory ? memory->address() : "", world);
  if (willing && world.node_rank() > 0) {
    std::size_t first = 0;
    while (node_of[first] != node) ++first;
    memory = SharedMemory::open(addresses[first]);
  }
  const std::vector<std::string> outcomes = texts_of_all(memory ? "reached" : "", world);
  for (std::size_t rank = 0; rank < outcomes.size(); ++rank) {
    if (node_of[rank] == node && outcomes[rank].empty()) return nullptr;
  }
  return std::make_shared<const SharedWeights>(SharedWeights{std::move(*memory), world.node_rank(), world.node_size()});
}

}  // namespace chorale
