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
  // For a GPU, or undefined:
  at::Tensor device_step = {};      // [1] int64; takes `step`'s place, so that a recorded pass draws anew when replayed
  at::Tensor device_row_keys = {};  // [rows] int64, the bits of the row keys; undefined: uploaded for every mask
};

/// The rows' keys where tensors on `device` can use them: once per batch, for DropoutKey::device_row_keys.
[[nodiscard]] at::Tensor upload_row_keys(const std::vector<std::uint64_t>& row_keys, c10::Device device);

/// Mask [rows, width] of x's kind: 0 with probability `rate`, else 1/(1-rate). stream_offsets: [streams + 1] rows;
/// row_keys: [rows]. The same bits on every device.
[[nodiscard]] at::Tensor dropout_mask(const at::Tensor& like, const std::vector<std::int64_t>& stream_offsets,
                                      const std::vector<std::uint64_t>& row_keys, const DropoutKey& key, double rate);

/// x times its mask, in one pass where there is a CUDA kernel. Not differentiable.
[[nodiscard]] at::Tensor dropped(const at::Tensor& x, const std::vector<std::int64_t>& stream_offsets,
                                 const std::vector<std::uint64_t>& row_keys, const DropoutKey& key, double rate);

}  // namespace chorale
