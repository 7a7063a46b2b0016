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
  // Where masks are drawn on a device, or undefined:
  at::Tensor device_step = {};      // [1] int64; takes `step`'s place, so that a recorded pass draws anew when replayed
  at::Tensor device_row_keys = {};  // [rows] int64, the bits of the row keys; undefined: uploaded for every mask
};

/// Whether masks of tensors of `type` on `device` are drawn there, from the keys in its memory, for up to `streams`
/// streams. Only then may a pass with dropout be recorded on a device with a memory of its own.
[[nodiscard]] bool draws_masks_on(c10::Device device, at::ScalarType type, std::int64_t streams);

/// Mask [rows, width] of x's kind: 0 with probability `rate`, else 1/(1-rate). stream_offsets: [streams + 1] rows;
/// row_keys: [rows]. The same bits on every device.
[[nodiscard]] at::Tensor dropout_mask(const at::Tensor& like, const std::vector<std::int64_t>& stream_offsets,
                                      const std::vector<std::uint64_t>& row_keys, const DropoutKey& key, double rate);

/// x times its mask, in one pass where there is a CUDA kernel. Not differentiable.
[[nodiscard]] at::Tensor dropped(const at::Tensor& x, const std::vector<std::int64_t>& stream_offsets,
                                 const std::vector<std::uint64_t>& row_keys, const DropoutKey& key, double rate);

}  // namespace chorale
