// A linear layer that is never trained.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/kernels/compact_weight.hpp"

namespace chorale {

/// y = x W^T (+ bias), with W [out, in] frozen: its only derivative is that of the input.
///
/// A weight that never changes can be laid out once in the order the matrix product reads it. On the CPU in float32 the
/// weight is kept in oneDNN's blocked layout, and a second, transposed one is made when the first gradient asks for it;
/// tests/bench/README.md has the gain. In bfloat16 likewise where the CPU has instructions for it (AVX512_BF16), and as
/// float32 with the same rounded weights where it has not. Other types and devices use torch's plain product.
/// A weight held in fewer bits (compact_weight.hpp) is decoded for each product.
class FrozenLinear {
 public:
  FrozenLinear() = default;
  explicit FrozenLinear(at::Tensor weight, at::Tensor bias = at::Tensor());
  /// Whether a weight of this kind is laid out anew, so that the one given may change afterwards.
  [[nodiscard]] static bool copies(at::Device device, at::ScalarType type);
  explicit FrozenLinear(CompactWeightPtr weight, at::Tensor bias = at::Tensor());

  /// x: [rows, in] of the weight's type -> [rows, out]. Differentiable in x. On the CPU x may be float32 whatever the
  /// weight's type: it is rounded for the product, and the result comes back in float32.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) const;
  /// The same without recording anything: for use inside hand-written forward passes.
  [[nodiscard]] at::Tensor product(const at::Tensor& x) const;
  /// dy: [rows, out] -> dy W [rows, in]. Not differentiable: for use inside hand-written backward passes.
  [[nodiscard]] at::Tensor input_gradient(const at::Tensor& dy) const;

  /// The weight in its plain layout (a copy where it is kept in another).
  [[nodiscard]] at::Tensor weight() const;
  /// The same as a tensor of the caller's own.
  [[nodiscard]] at::Tensor weight_copy() const;
  /// [out], or undefined.
  [[nodiscard]] const at::Tensor& bias() const { return bias_; }

 private:
  struct Packed {
    at::Tensor weight;      // blocked
    at::Tensor transposed;  // blocked, made at first use
  };

  at::Tensor weight_;  // plain; undefined when packed or compact
  at::Tensor bias_;    // [out] or undefined
  std::shared_ptr<Packed> packed_;
  CompactWeightPtr compact_;
};

}  // namespace chorale
