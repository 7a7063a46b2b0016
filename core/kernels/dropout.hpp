// Dropout masks that depend on what is dropped, not on when or where.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace chorale {

/// What a mask is keyed by, apart from the row: with the row's key (example and token) this makes a mask the same on
/// any number of ranks, in any batch and in the backward pass, where it is drawn again instead of being stored.
struct DropoutKey {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint32_t site = 0;              // adapter site, so that q, k and v drop different elements
  std::vector<std::uint32_t> members;  // global member of each stream
};

/// Mask [rows, width] of x's kind: 0 with probability `rate`, else 1/(1-rate). stream_offsets: [streams + 1] rows.
[[nodiscard]] at::Tensor dropout_mask(const at::Tensor& like, const std::vector<std::int64_t>& stream_offsets,
                                      const std::vector<std::uint64_t>& row_keys, const DropoutKey& key, double rate);

}  // namespace chorale
