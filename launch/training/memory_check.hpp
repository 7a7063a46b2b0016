// Whether a training can fit into memory at all, asked before anything large is allocated.
#pragma once

#include <cstdint>
#include <string>

#include "core/adapters/adapter_layout.hpp"
#include "core/data/task.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

/// Bytes a rank needs at least: what is counted here is certain, so that no training that would fit is refused.
struct MemoryNeed {
  std::uint64_t base = 0;
  std::uint64_t adapters = 0;
  std::uint64_t activations = 0;  // of the smallest micro-batch the recipe allows

  [[nodiscard]] std::uint64_t total() const { return base + adapters + activations; }
};

/// For a rank that trains `members` members on `train`, and has `share` examples of a batch.
[[nodiscard]] MemoryNeed least_memory(const Recipe& recipe, const ModelConfig& model, const ExampleSet& train,
                                      std::int64_t members, std::int64_t share);

/// UsageError when `ranks` such ranks do not fit into `memory` bytes (0: unknown) of `host`: how much is needed and for
/// what, how much there is, and the keys that lower it, the one that lowers most first.
void check_memory(const MemoryNeed& need, std::uint64_t memory, std::int64_t ranks, const std::string& host);

}  // namespace chorale
