// A matrix laid out once for many products by our own kernel.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/kernels/weight_memory.hpp"

namespace chorale {

/// P [depth, width] in panels of one vector's width, each contiguous: [panels, depth, lanes], the last one filled up
/// with zeros. float32 on the CPU.
struct PanelMatrix {
  at::Tensor panels;
  std::int64_t depth = 0;
  std::int64_t width = 0;

  [[nodiscard]] bool defined() const { return panels.defined(); }
};

/// Whether products with panels are as quick here as a library's: where vectors are 64 bytes wide (AVX-512), for which
/// small_product.hpp's blocks are made. A narrower machine has too few registers for them.
[[nodiscard]] bool has_panel_products();

/// P = weight^T for a weight [out, in], any strides, which is rounded to float32.
[[nodiscard]] PanelMatrix panels_of_transposed(const at::Tensor& weight);
/// The same in `memory`.
[[nodiscard]] PanelMatrix panels_of_transposed(const WeightSource& weight, WeightMemory& memory);
/// The transpose of `matrix`.
[[nodiscard]] PanelMatrix transposed(const PanelMatrix& matrix);
/// Room for the panels of the transpose of `matrix`, and the transpose in it.
[[nodiscard]] LateTensor room_for_transposed(const PanelMatrix& matrix, WeightMemory& memory);
[[nodiscard]] PanelMatrix transposed(const PanelMatrix& matrix, LateTensor& room);
/// The matrix in its plain layout, transposed: [width, depth], a copy.
[[nodiscard]] at::Tensor plain_transposed(const PanelMatrix& matrix);

}  // namespace chorale
