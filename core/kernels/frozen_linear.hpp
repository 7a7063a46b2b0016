// A linear layer that is never trained.
#pragma once

#include <ATen/core/Tensor.h>

namespace chorale {

/// y = x W^T (+ bias), with W [out, in] frozen: its only derivative is that of the input.
class FrozenLinear {
 public:
  FrozenLinear() = default;
  explicit FrozenLinear(at::Tensor weight, at::Tensor bias = at::Tensor())
      : weight_(std::move(weight)), bias_(std::move(bias)) {}

  /// x: [rows, in] of the weight's type -> [rows, out]. Differentiable in x.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) const;
  /// dy: [rows, out] -> dy W [rows, in]. Not differentiable: used inside hand-written backward passes.
  [[nodiscard]] at::Tensor input_gradient(const at::Tensor& dy) const;

  [[nodiscard]] const at::Tensor& weight() const { return weight_; }
  [[nodiscard]] std::int64_t in() const { return weight_.size(1); }
  [[nodiscard]] std::int64_t out() const { return weight_.size(0); }

 private:
  at::Tensor weight_;
  at::Tensor bias_;  // [out] or undefined
};

}  // namespace chorale
