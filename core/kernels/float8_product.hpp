// Products of eight-bit floats on GPUs that have them (Hopper and later), through torch's _scaled_mm.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace chorale {

/// A matrix as codes and one scale a row: row r is codes[r] * scales[r], its largest magnitude 448 * scales[r].
struct Float8Rows {
  at::Tensor codes;   // [rows, columns] float8_e4m3fn
  at::Tensor scales;  // [rows, 1] float32
};

/// x: [rows, columns] of any floating type. A row of zeros has scale 1; one with a value that is not finite becomes
/// NaN, as its products would have.
[[nodiscard]] Float8Rows float8_rows(const at::Tensor& x);

/// Whether products of eight-bit floats run on this device: found out by one small product, once for each device.
[[nodiscard]] bool float8_products_on(at::Device device);

/// Whether a weight [out, in] can be multiplied so: both sizes must be multiples of 16.
[[nodiscard]] bool float8_product_takes(std::int64_t out, std::int64_t in);

/// x [rows, in] bfloat16, W [out, in] as codes and scales [out, 1] -> x W^T (+ bias) [rows, out] bfloat16.
///
/// Rows of x are encoded as they come, each with a scale of its own, so that a member's result does not depend on whose
/// rows stand beside: y[r, o] = sx[r] * sw[o] * sum_i qx[r, i] qw[o, i].
[[nodiscard]] at::Tensor float8_product(const at::Tensor& x, const at::Tensor& codes, const at::Tensor& scales,
                                        const at::Tensor& bias);

/// dy [rows, out] bfloat16 -> dy W [rows, in] bfloat16.
///
/// Here W's scales lie along the sum: dx[r, i] = sum_o dy[r, o] sw[o] qw[o, i], and the product takes none there. They
/// are multiplied into dy first, g[r, o] = dy[r, o] sw[o], and g's rows are encoded with scales of their own: dx[r, i]
/// = sg[r] * sum_o qg[r, o] qw[o, i]. The tensor cores read both factors along the sum, so W's codes are transposed
/// into passing memory: a byte read and one written a weight, a few percent of a pass, where a second copy would take
/// as much room as bfloat16.
[[nodiscard]] at::Tensor float8_input_gradient(const at::Tensor& dy, const at::Tensor& codes, const at::Tensor& scales);

/// The plain twins: the same roundings of x or dy, then the product in float64. Any device and floating type; [rows,
/// ...] float64.
[[nodiscard]] at::Tensor float8_product_plain(const at::Tensor& x, const at::Tensor& codes, const at::Tensor& scales,
                                              const at::Tensor& bias);
[[nodiscard]] at::Tensor float8_input_gradient_plain(const at::Tensor& dy, const at::Tensor& codes,
                                                     const at::Tensor& scales);

}  // namespace chorale
