// Low-rank products of all members at once: rows by member, one small matrix each.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace chorale {

/// Rows of each member: [members + 1].
using RowOffsets = std::vector<std::int64_t>;

// x, y: [rows, columns], of which columns [begin, begin + m.size(2)) take part; m, g: [members, rank, width] with unit
// stride last or, on the CPU, also with unit stride along the rank (the transposed view of [members, width, rank]); u:
// [rows, ...], of which columns [first, first + rank). On the CPU in float32 and float64 one fused kernel shares all
// members' rows out to the threads; on CUDA in bfloat16 the first two are kernels of ours, which read the wide matrix
// once, and the third is one batched product; elsewhere torch's products member by member. Not differentiable.

/// u = scale * x m^T.
void grouped_down(const at::Tensor& x, std::int64_t begin, const at::Tensor& m, at::Tensor& u, std::int64_t first,
                  const RowOffsets& offsets, double scale);
/// y += scale * u m.
void grouped_up(const at::Tensor& u, std::int64_t first, const at::Tensor& m, at::Tensor& y, std::int64_t begin,
                const RowOffsets& offsets, double scale);
/// g = scale * u^T x, zero for members without rows.
void grouped_outer(const at::Tensor& u, std::int64_t first, const at::Tensor& x, std::int64_t begin, at::Tensor& g,
                   const RowOffsets& offsets, double scale);
/// g += scale * u^T x.
void grouped_outer_add(const at::Tensor& u, std::int64_t first, const at::Tensor& x, std::int64_t begin, at::Tensor& g,
                       const RowOffsets& offsets, double scale);

}  // namespace chorale
