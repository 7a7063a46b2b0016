// Whether a run can fit into memory at all, asked before anything large is read or allocated.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/adapters/adapter_layout.hpp"
#include "core/data/task.hpp"
#include "core/model/decoder.hpp"
#include "distributed/world.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

/// Bytes a rank needs at least: what is counted here is certain, so that no run that would fit is refused.
struct MemoryNeed {
  std::string purpose = "training";
  std::uint64_t base = 0;
  std::uint64_t adapters = 0;     // training: with their gradients and moments
  std::uint64_t activations = 0;  // of the smallest micro-batch the recipe allows
  /// The words of base.dtype that hold the base in less, and the bytes it then takes.
  std::vector<std::pair<std::string, std::uint64_t>> smaller;

  [[nodiscard]] std::uint64_t total() const { return base + adapters + activations; }
};

/// Tokens that a decoder runs over: of the shortest example, and of what all examples share, once per batch.
struct LeastRows {
  std::int64_t shortest = 0;
  std::int64_t common = 0;
};

/// Of a training set: a batch of its shortest examples may come, and no batch needs less.
[[nodiscard]] LeastRows least_rows(const Recipe& recipe, const ExampleSet& train);

/// For a rank that trains `members` members, and has `share` examples of a batch.
[[nodiscard]] MemoryNeed training_need(const Recipe& recipe, const ModelConfig& model, bool on_gpu,
                                       const LeastRows& rows, std::int64_t members, std::int64_t share);

/// For a rank that only predicts, with adapters of `parameters` numbers in all.
[[nodiscard]] MemoryNeed prediction_need(const std::string& purpose, BaseDtype dtype, const ModelConfig& model,
                                         bool on_gpu, std::int64_t parameters);

/// Where ranks compute, and how many of them share its memory.
struct MemoryPlace {
  std::string name;          // a host, or a GPU of one
  std::uint64_t memory = 0;  // bytes; 0: unknown
  std::int64_t ranks = 1;
  bool has_one_base = false;  // which all the ranks share

  /// What each of the ranks may count as its own.
  [[nodiscard]] std::uint64_t share() const { return memory / static_cast<std::uint64_t>(ranks); }
};

/// Of this rank, which computes on `device`: its machine's memory (what its control group leaves of it), or its GPU's.
[[nodiscard]] MemoryPlace memory_place(c10::Device device, const World& world);
/// The same of a rank with such a decoder.
[[nodiscard]] MemoryPlace memory_place(const DecoderOptions& decoder, const World& world);

/// What all ranks of `place` need together, when each needs as much.
[[nodiscard]] std::uint64_t bytes_for_all(const MemoryNeed& need, const MemoryPlace& place);

/// UsageError when the ranks of `place` do not fit, all of which need as much: how much is needed and for what, how
/// much there is, and the keys that lower it, the one that lowers most first.
void check_memory(const MemoryNeed& need, const MemoryPlace& place);

}  // namespace chorale
