// A frozen weight in NF4.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/compact_weight.hpp"

namespace chorale {

/// Codes of four bits and one float32 scale for 64 values of a row (no double quantisation): 4.5 bits a weight.
class Nf4Weight : public CompactWeight {
 public:
  /// weight: [out, in], float32 on the CPU.
  Nf4Weight(const at::Tensor& weight, const CompactOptions& options);

  [[nodiscard]] std::uint64_t bytes() const override;

 protected:
  void decode(at::Tensor& out) const override;

 private:
  at::Tensor codes_;   // [out, blocks*32] bytes
  at::Tensor scales_;  // [out, blocks] float32
};

/// Decodes by torch operations, on any device, into `out` [rows, columns] of any floating type: level * scale in
/// float32, then rounded to it. A few rows at a time, so that little is held besides the result. codes: [rows,
/// blocks*32] bytes; scales: [rows, blocks] float32.
void nf4_decode_by_operations(const at::Tensor& codes, const at::Tensor& scales, at::Tensor& out);

}  // namespace chorale
