// oneDNN's matrix product with a weight, which torch offers to its compiler only.
#pragma once

#include <ATen/core/Tensor.h>

namespace chorale {

/// Whether it is there: on the CPU in float32 and bfloat16.
[[nodiscard]] bool has_onednn_linear(at::Device device, at::ScalarType type);
[[nodiscard]] bool has_onednn_linear(const at::Tensor& weight);

/// The weight [out, in] in the order the product reads it: for weights that are multiplied often.
[[nodiscard]] at::Tensor onednn_packed(const at::Tensor& weight);

/// x [rows, in] -> x W^T (+ bias, where defined). weight: [out, in] in any layout, packed or not; a transposed view
/// will do. Not differentiable.
[[nodiscard]] at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace chorale
