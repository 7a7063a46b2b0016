// Root-mean-square normalisation (arXiv 1910.07467, eq. 4) of the residual stream.
#pragma once

#include <ATen/core/Tensor.h>

namespace chorale {

/// y = x / sqrt(mean(x^2) + epsilon) * weight, per row. x: [rows, hidden], the residual stream (float32 or float64);
/// weight: [hidden] of x's type, frozen; the result has type `out`. Differentiable in x. One pass on the CPU; the plain
/// expression elsewhere.
[[nodiscard]] at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType out);

/// The same as a plain expression of torch operations: the twin the fused kernel is compared with.
[[nodiscard]] at::Tensor rms_norm_plain(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                                        at::ScalarType out);

}  // namespace chorale
