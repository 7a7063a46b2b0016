#include "core/training/memory_estimate.hpp"

#include <unistd.h>

#include <algorithm>

namespace chorale {

std::uint64_t activation_bytes_per_row(const ModelConfig& model, const AdapterLayout& layout,
                                       std::uint64_t element_bytes) {
  // Per layer: three residual-sized inputs of norms and sums, two normed, q, k, v, what was attended, gate, up and
  // their product; adapters' rank-sized products are small beside them.
  const std::int64_t attention = (2 * model.heads + 2 * model.kv_heads) * model.head_dim;
  const std::int64_t elements = 5 * model.hidden + attention + 3 * model.feed_forward;
  return static_cast<std::uint64_t>((model.layers - layout.lowest_layer()) * elements) * element_bytes;
}

std::uint64_t physical_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long size = sysconf(_SC_PAGE_SIZE);
  return pages > 0 && size > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size) : 0;
}

std::int64_t automatic_micro_batch(const Decoder& decoder, const AdapterLayout& layout, const ExampleBatcher& batcher,
                                   std::int64_t members, std::int64_t batch_size, std::uint64_t memory) {
  std::int64_t longest = 1;
  for (std::size_t example = 0; example < batcher.size(); ++example) {
    longest = std::max(longest, batcher.own_rows(example));
  }
  const std::uint64_t element = decoder.dtype() == at::kDouble ? 8 : 4;
  const std::uint64_t example_bytes =
      static_cast<std::uint64_t>(longest * members) * activation_bytes_per_row(decoder.config(), layout, element);
  const std::uint64_t budget = memory / 4;
  if (budget == 0) return batch_size;
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(budget / example_bytes), 1, batch_size);
}

}  // namespace chorale
