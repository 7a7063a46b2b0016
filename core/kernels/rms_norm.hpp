// Root-mean-square normalisation (arXiv 1910.07467, eq. 4) of the residual stream.
#pragma once

#include <ATen/core/Tensor.h>

namespace chorale {

/// y = x / sqrt(mean(x^2) + epsilon) * weight, per row. x: [rows, hidden], the residual stream (float32 or float64);
/// weight: [hidden] of x's type, frozen; the result has type `out`. Differentiable in x. One pass on the CPU and in our
/// CUDA kernels (float32 residual, float32 or bfloat16 result); the plain expression elsewhere.
[[nodiscard]] at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType out);

/// The same as a plain expression of torch operations: the twin the fused kernel is compared with.
[[nodiscard]] at::Tensor rms_norm_plain(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                                        at::ScalarType out);

/// The residual stream after an addition, and its norm.
struct ResidualNorm {
  at::Tensor residual;  // x + delta, x's type
  at::Tensor normed;    // rms_norm(residual), type `out`
};

/// Both in one pass on the CPU in float32 and float64 and where there is a CUDA kernel. delta: [rows, hidden] of type
/// `out`. Differentiable in x and delta; saves the residual and one number per row.
[[nodiscard]] ResidualNorm add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                                        double epsilon, at::ScalarType out);

/// The plain twin of add_rms_norm.
[[nodiscard]] ResidualNorm add_rms_norm_plain(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                                              double epsilon, at::ScalarType out);

}  // namespace chorale
