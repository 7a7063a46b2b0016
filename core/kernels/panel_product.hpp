// The product of many rows with a matrix in panels, and with it every member's low-rank products.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/low_rank_pass.hpp"
#include "core/kernels/panel_matrix.hpp"

namespace chorale {

/// y = x P (+ bias), and where there is a `pass` its downs from x and its ups into y. x: [rows, depth], bias: [width]
/// or undefined; y: [rows, width]. float32 on the CPU.
///
/// Rows are taken in chunks that stay in a core's second-level cache while all of this happens to them, so that x is
/// read and y is written once; low-rank products by themselves would stream both through the cache once more. Threads
/// share the chunks, and where there are few rows also the columns. Every element is summed in the order of the depth,
/// however the work is shared out. Not differentiable.
[[nodiscard]] at::Tensor panel_product(const at::Tensor& x, const PanelMatrix& matrix, const at::Tensor& bias,
                                       LowRankPass* pass);

}  // namespace chorale
