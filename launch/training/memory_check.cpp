#include "launch/training/memory_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "core/base/errors.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/model/device.hpp"
#include "core/training/memory_estimate.hpp"

namespace chorale {
namespace {

double gigabytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) * 1e-9;
}

// bytes_of(dtype): of a base held so.
MemoryNeed base_need(const std::string& purpose, BaseDtype dtype,
                     const std::function<std::uint64_t(BaseDtype)>& bytes_of) {
  MemoryNeed need;
  need.purpose = purpose;
  need.base = bytes_of(dtype);
  for (const auto& [name, other] : kBaseDtypes) {
    const std::uint64_t bytes = bytes_of(other);
    if (bytes < need.base) need.smaller.emplace_back(name, bytes);
  }
  return need;
}

// "Set base.dtype to bfloat16 (2.5 GB of base), choose a smaller base, or ...".
std::string smaller_base(const MemoryNeed& need, const MemoryPlace& place) {
  std::string kinds;
  for (const auto& [name, bytes] : need.smaller) {
    kinds += fmt::format("{}{} ({:.1f} GB of base)", kinds.empty() ? "" : " or ", name, gigabytes(bytes));
  }
  const char* elsewhere =
      place.ranks > 1 && !place.has_one_base ? "start fewer ranks on it" : "use one with more memory";
  return kinds.empty() ? fmt::format("Choose a smaller base, or {}.", elsewhere)
                       : fmt::format("Set base.dtype to {}, choose a smaller base, or {}.", kinds, elsewhere);
}

// "3 ranks, each: 0.5 GB base, ", or where they share it "0.5 GB base, and 3 ranks, each: ".
std::string parts_before_adapters(const MemoryNeed& need, const MemoryPlace& place) {
  const std::string base = fmt::format("{:.1f} GB base, ", gigabytes(need.base));
  const std::string ranks = place.ranks > 1 ? fmt::format("{} ranks, each: ", place.ranks) : "";
  return place.has_one_base ? base + "and " + ranks : ranks + base;
}

// The largest part, and what makes it smaller.
std::pair<std::string, std::string> remedy(const MemoryNeed& need, const MemoryPlace& place) {
  const std::uint64_t base = place.has_one_base ? need.base / static_cast<std::uint64_t>(place.ranks) : need.base;
  if (need.adapters >= std::max(base, need.activations)) {
    return {"ensemble.members", "Lower ensemble.members or adapter.rank, or start more ranks on other machines."};
  }
  if (base >= need.activations) return {"base.path", smaller_base(need, place)};
  return {"training.micro_batch_size",
          "Lower training.micro_batch_size (or set it to auto), data.max_tokens or ensemble.members, or set "
          "training.recompute to full."};
}

}  // namespace

LeastRows least_rows(const Recipe& recipe, const ExampleSet& train) {
  const ExampleBatcher batcher(train, recipe.task.kind, recipe.task.scoring, at::kCPU, at::kFloat);
  LeastRows rows{batcher.own_rows(0), batcher.common_rows()};
  for (std::size_t i = 0; i < batcher.size(); ++i) rows.shortest = std::min(rows.shortest, batcher.own_rows(i));
  return rows;
}

MemoryNeed training_need(const Recipe& recipe, const ModelConfig& model, bool on_gpu, const LeastRows& rows,
                         std::int64_t members, std::int64_t share) {
  const AdapterLayout layout(model, recipe.adapter);
  MemoryNeed need = base_need("training", recipe.base.dtype, [&](BaseDtype dtype) {
    return training_base_bytes(model, dtype, on_gpu, layout.lowest_layer());
  });
  need.adapters = static_cast<std::uint64_t>(members) *
                  adapter_bytes(layout.parameters(), recipe.training.early_stopping.has_value());
  const std::int64_t micro =
      recipe.training.micro_batch_size > 0 ? std::min(recipe.training.micro_batch_size, share) : 1;
  // Passes that nobody has sized take one member if need be.
  const std::int64_t together = recipe.training.micro_batch_size > 0 ? members : 1;
  const auto all_rows = static_cast<std::uint64_t>((micro * rows.shortest + rows.common) * together);
  need.activations =
      all_rows * activation_bytes_per_row(model, layout, activation_element_bytes(recipe.base.dtype, on_gpu),
                                          recipe.training.recompute);
  return need;
}

MemoryNeed prediction_need(const std::string& purpose, BaseDtype dtype, const ModelConfig& model, bool on_gpu,
                           std::int64_t parameters) {
  MemoryNeed need = base_need(purpose, dtype, [&](BaseDtype other) { return base_bytes(model, other, on_gpu); });
  need.adapters = static_cast<std::uint64_t>(parameters) * 4;
  return need;
}

MemoryPlace memory_place(c10::Device device, const World& world) {
  if (device.is_cpu()) return {world.host(), physical_memory(), world.node_size()};
  return {fmt::format("GPU {} of {}", static_cast<int>(device.index()), world.host()), gpu_memory(device),
          sharers_of_gpu(world.node_rank(), world.node_size())};
}

MemoryPlace memory_place(const DecoderOptions& decoder, const World& world) {
  MemoryPlace place = memory_place(decoder.device, world);
  place.has_one_base = decoder.shared != nullptr;
  return place;
}

std::uint64_t bytes_for_all(const MemoryNeed& need, const MemoryPlace& place) {
  const auto ranks = static_cast<std::uint64_t>(place.ranks);
  return (place.has_one_base ? 1 : ranks) * need.base + ranks * (need.adapters + need.activations);
}

void check_memory(const MemoryNeed& need, const MemoryPlace& place) {
  const std::uint64_t all = bytes_for_all(need, place);
  if (place.memory == 0 || all <= place.memory) return;
  const auto [key, advice] = remedy(need, place);
  throw UsageError(fmt::format(
      "{}: {} needs at least {:.1f} GB of memory on {} ({}{:.1f} GB adapters{}, {:.1f} GB activations), which "
      "has {:.1f} GB. {}",
      key, need.purpose, gigabytes(all), place.name, parts_before_adapters(need, place), gigabytes(need.adapters),
      need.purpose == "training" ? " with their gradients and moments" : "", gigabytes(need.activations),
      gigabytes(place.memory), advice));
}

}  // namespace chorale
