#include "launch/training/memory_check.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/training/memory_estimate.hpp"

namespace chorale {
namespace {

double gigabytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) * 1e-9;
}

// The largest part, and what makes it smaller.
std::pair<std::string_view, std::string_view> remedy(const MemoryNeed& need) {
  if (need.adapters >= std::max(need.base, need.activations)) {
    return {"ensemble.members", "Lower ensemble.members or adapter.rank, or start more ranks on other machines."};
  }
  if (need.base >= need.activations) {
    return {"base.path", "Choose a smaller base, set base.dtype: bfloat16, or start fewer ranks on a machine."};
  }
  return {"training.micro_batch_size",
          "Lower training.micro_batch_size (or set it to auto), data.max_tokens or ensemble.members."};
}

}  // namespace

MemoryNeed least_memory(const Recipe& recipe, const ModelConfig& model, const ExampleSet& train, std::int64_t members,
                        std::int64_t share) {
  const AdapterLayout layout(model, recipe.adapter);
  MemoryNeed need;
  need.base = base_bytes(model, recipe.base.dtype == BaseDtype::bfloat16 ? 2 : 4);
  need.adapters = static_cast<std::uint64_t>(members) *
                  adapter_bytes(layout.parameters(), recipe.training.early_stopping.has_value());
  // The shortest examples: a batch that has only these may come, and no batch needs less.
  const ExampleBatcher batcher(train, recipe.task.kind, recipe.task.scoring, at::kCPU, at::kFloat);
  std::int64_t shortest = batcher.own_rows(0);
  for (std::size_t i = 0; i < batcher.size(); ++i) shortest = std::min(shortest, batcher.own_rows(i));
  const std::int64_t micro =
      recipe.training.micro_batch_size > 0 ? std::min(recipe.training.micro_batch_size, share) : 1;
  const auto rows = static_cast<std::uint64_t>((micro * shortest + batcher.common_rows()) * members);
  need.activations = rows * activation_bytes_per_row(model, layout, 4);
  return need;
}

void check_memory(const MemoryNeed& need, std::uint64_t memory, std::int64_t ranks, const std::string& host) {
  const std::uint64_t all = need.total() * static_cast<std::uint64_t>(ranks);
  if (memory == 0 || all <= memory) return;
  const auto [key, advice] = remedy(need);
  throw UsageError(fmt::format(
      "{}: training needs at least {:.1f} GB of memory on {} ({}{:.1f} GB base, {:.1f} GB adapters with their "
      "gradients "
      "and moments, {:.1f} GB activations), which has {:.1f} GB. {}",
      key, gigabytes(all), host, ranks > 1 ? fmt::format("{} ranks, each: ", ranks) : "", gigabytes(need.base),
      gigabytes(need.adapters), gigabytes(need.activations), gigabytes(memory), advice));
}

}  // namespace chorale
