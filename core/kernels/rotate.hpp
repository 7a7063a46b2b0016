// The rotary embedding by itself, where attention is not fused with it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace chorale {

/// Rotates `heads` heads of `head_dim` columns that begin at column 0 of `from` [rows, ...] by their row's angle, or
/// back by it, into `to` [rows, ...], which may be `from` itself. cosine, sine: [rows, head_dim/2] float32. Pairs are
/// (i, i + head_dim/2) (arXiv 2104.09864, half-split). The CUDA kernel: float32 or bfloat16, only where DeviceKernels
/// are.
void rotate_heads(const at::Tensor& from, at::Tensor& to, const at::Tensor& cosine, const at::Tensor& sine,
                  std::int64_t heads, std::int64_t head_dim, bool back);

}  // namespace chorale
