// A frozen weight in NF4.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/compact_weight.hpp"

namespace chorale {

/// Codes of four bits and one float32 scale for 64 values of a row (no double quantisation): 4.5 bits a weight.
class Nf4Weight : public CompactWeight {
 public:
  /// weight: float32.
  Nf4Weight(const WeightSource& weight, const CompactOptions& options, WeightMemory& memory);

  [[nodiscard]] std::uint64_t bytes() const override;

 protected:
  void decode(at::Tensor& out) const override;

 private:
  at::Tensor codes_;   // [out, blocks*32] bytes
  at::Tensor scales_;  // [out, blocks] float32
  at::Tensor pairs_;   // elsewhere than on the CPU: nf4_level_pairs
};

/// Both levels of every byte of codes, two float32 seen as one number of 64 bits: [256] int64.
[[nodiscard]] at::Tensor nf4_level_pairs(at::Device device);

/// Decodes by torch operations, on any device and without waiting for it, into `out` [rows, columns] of any floating
/// type: level * scale in float32, then rounded to it. A few rows at a time, so that little is held besides the result.
/// codes: [rows, blocks*32] bytes; scales: [rows, blocks] float32; pairs: nf4_level_pairs of their device.
void nf4_decode_by_operations(const at::Tensor& codes, const at::Tensor& scales, const at::Tensor& pairs,
                              at::Tensor& out);

}  // namespace chorale
