#include "core/training/memory_estimate.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/weights/expected_tensors.hpp"

namespace chorale {
namespace {

// The smallest memory.max on the way from this process' control group to the root (cgroup v2, see the kernel's
// Documentation/admin-guide/cgroup-v2.rst); 0: no limit, or none that can be seen.
std::uint64_t group_limit() {
  std::ifstream own("/proc/self/cgroup");
  std::string line;
  while (std::getline(own, line) && !line.starts_with("0::")) {
  }
  if (!line.starts_with("0::")) return 0;
  std::uint64_t limit = 0;
  for (std::filesystem::path group = "/sys/fs/cgroup" + line.substr(3); group.string().size() >= 14;
       group = group.parent_path()) {
    std::uint64_t value = 0;
    // "max" is no number and leaves the limit as it is.
    if (std::ifstream(group / "memory.max") >> value && value > 0 && (limit == 0 || value < limit)) limit = value;
  }
  return limit;
}

}  // namespace

std::uint64_t activation_bytes_per_row(const ModelConfig& model, const AdapterLayout& layout,
                                       std::uint64_t element_bytes, Recompute recompute) {
  // Per layer: three residual-sized inputs of norms and sums, two normed, q, k, v, what was attended, gate, up and
  // their product; adapters' rank-sized products are small beside them.
  const std::int64_t attention = (2 * model.heads + 2 * model.kv_heads) * model.head_dim;
  const std::int64_t made_again = 2 * model.hidden + model.feed_forward;
  const std::int64_t layer = 5 * model.hidden + attention + 3 * model.feed_forward;
  const std::int64_t layers = model.layers - layout.lowest_layer();
  std::int64_t elements = layers * layer;
  if (recompute == Recompute::light) elements = layers * (layer - made_again);
  if (recompute == Recompute::full) {
    // The layer that runs again stands beside its own gradients, and is no longer small against what is kept.
    // The larger ones go where the values stood.
    const std::int64_t gradients = 2 * model.hidden;
    elements = layers * model.hidden + layer + gradients;
  }
  // Of what is counted, the stream's own rows are float32 even where the rest is not.
  const std::int64_t residual = layers * model.hidden * (recompute == Recompute::full ? 1 : 3);
  const std::uint64_t wider = element_bytes < 4 ? 4 - element_bytes : 0;
  return static_cast<std::uint64_t>(elements) * element_bytes + static_cast<std::uint64_t>(residual) * wider;
}

std::uint64_t activation_element_bytes(BaseDtype dtype, bool on_gpu) {
  return on_gpu && dtype != BaseDtype::float32 ? 2 : 4;
}

std::uint64_t activation_budget(std::uint64_t memory, bool on_gpu, std::uint64_t taken) {
  if (!on_gpu) return memory / 4;
  const std::uint64_t usable = memory / 10 * 9;
  return std::max(memory / 8, usable > taken ? usable - taken : 0);
}

std::uint64_t merge_budget(std::uint64_t activations) {
  return activations / 2;
}

std::uint64_t base_bytes(const ModelConfig& model, BaseDtype dtype, bool on_gpu) {
  const DecoderOptions options = decoder_options(dtype, on_gpu ? at::kCUDA : at::kCPU);
  const std::uint64_t element = c10::elementSize(options.dtype);
  const std::uint64_t of_linears = c10::elementSize(FrozenLinear::kept_type(options.device, options.dtype));
  std::uint64_t bytes = 0;
  for (const ExpectedTensor& tensor : expected_tensors(model)) {
    std::uint64_t elements = 1;
    for (const std::int64_t size : tensor.shape) elements *= static_cast<std::uint64_t>(size);
    const bool linear = tensor.shape.size() == 2 && tensor.name.starts_with("model.layers.");
    if (linear && options.linears != LinearFormat::plain) {
      bytes += static_cast<std::uint64_t>(tensor.shape[0]) * compact_row_bytes(options.linears, tensor.shape[1]);
    } else {
      bytes += elements * (tensor.name.ends_with("norm.weight") ? 4 : linear ? of_linears : element);
    }
  }
  if (options.linears == LinearFormat::plain) return bytes;
  const std::int64_t attention = (model.heads + 2 * model.kv_heads) * model.head_dim;
  const std::int64_t largest = std::max(attention, 2 * model.feed_forward) * model.hidden;
  return bytes + static_cast<std::uint64_t>(largest) * element;
}

std::uint64_t training_base_bytes(const ModelConfig& model, BaseDtype dtype, bool on_gpu, std::int64_t lowest_layer) {
  const std::uint64_t once = base_bytes(model, dtype, on_gpu);
  const DecoderOptions options = decoder_options(dtype, on_gpu ? at::kCUDA : at::kCPU);
  const bool twice = options.linears == LinearFormat::plain && FrozenLinear::copies(options.device, options.dtype);
  if (!twice) return once;
  const auto weights = static_cast<std::uint64_t>((model.layers - lowest_layer - 1) * layer_weights(model));
  return once + weights * c10::elementSize(FrozenLinear::kept_type(options.device, options.dtype));
}

std::uint64_t adapter_bytes(std::int64_t parameters, bool early_stopping) {
  return static_cast<std::uint64_t>(parameters) * 4 * (early_stopping ? 5 : 4);
}

std::uint64_t prefix_budget(const TrainingConfig& training, std::uint64_t memory) {
  switch (training.prefix_cache) {
    case PrefixCacheMode::automatic:
      return memory / 4;
    case PrefixCacheMode::off:
      return 0;
    case PrefixCacheMode::bytes:
      return training.prefix_cache_bytes;
  }
  return 0;
}

std::uint64_t physical_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long size = sysconf(_SC_PAGE_SIZE);
  const std::uint64_t all =
      pages > 0 && size > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size) : 0;
  const std::uint64_t limit = group_limit();
  return limit > 0 && (all == 0 || limit < all) ? limit : all;
}

PassSize automatic_pass_size(std::int64_t members, std::int64_t examples, std::int64_t longest, std::uint64_t row_bytes,
                             std::uint64_t budget) {
  if (budget == 0) return {members, examples};
  const auto rows = static_cast<std::int64_t>(budget / std::max<std::uint64_t>(1, row_bytes));
  return largest_passes(members, examples, longest, std::max<std::int64_t>(1, rows));
}

}  // namespace chorale
