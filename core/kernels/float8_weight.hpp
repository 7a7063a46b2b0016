// A frozen weight in eight-bit floats.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/compact_weight.hpp"

namespace chorale {

/// e4m3 codes and one float32 scale for each output channel: its largest magnitude becomes 448, the code's largest
/// number. On a GPU that multiplies such numbers (float8_product.hpp) both passes do so; elsewhere it is decoded as any
/// compact weight, and the weights' rounding alone is felt.
class Float8Weight : public CompactWeight {
 public:
  /// weight: float32.
  Float8Weight(const WeightSource& weight, const CompactOptions& options, WeightMemory& memory);

  [[nodiscard]] at::Tensor product(const at::Tensor& x, const at::Tensor& bias) const override;
  [[nodiscard]] at::Tensor input_gradient(const at::Tensor& dy) const override;
  [[nodiscard]] std::uint64_t bytes() const override;

 protected:
  void decode(at::Tensor& out) const override;

 private:
  at::Tensor codes_;   // [out, in] float8_e4m3fn
  at::Tensor scales_;  // [out, 1] float32
  bool multiplied_as_it_is_;
};

}  // namespace chorale
