#include "core/kernels/panel_matrix.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "core/kernels/simd.hpp"
#include "core/kernels/small_product.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kLanes = kPanel<float>;

std::vector<std::int64_t> panel_sizes(std::int64_t depth, std::int64_t width) {
  return {(width + kLanes - 1) / kLanes, depth, kLanes};
}

// Columns [first, first + count) of weight^T, a panel of them, filled up with zeros.
void write_panel(Rows<const float> weight, std::int64_t count, std::int64_t depth, float* panel) {
  if (count < kLanes) std::fill_n(panel, depth * kLanes, 0.0F);
  transpose_rows(weight, Rows<float>{panel, kLanes}, count, depth);
}

}  // namespace

bool has_panel_products() {
  return simd::has_wide_vectors();
}

PanelMatrix panels_of_transposed(const at::Tensor& weight) {
  WeightMemory own;
  return panels_of_transposed({weight.size(0), weight.size(1), [&] { return weight; }}, own);
}

PanelMatrix panels_of_transposed(const WeightSource& weight, WeightMemory& memory) {
  const std::int64_t depth = weight.columns;
  const auto write = [&](at::Tensor& panels) {
    const at::Tensor rows = weight.read().to(at::kFloat).contiguous();
    const auto* from = rows.const_data_ptr<float>();
    auto* to = panels.mutable_data_ptr<float>();
    at::parallel_for(0, panels.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t panel = begin; panel < end; ++panel) {
        const std::int64_t first = panel * kLanes;
        write_panel(Rows<const float>{from + first * depth, depth}, std::min(kLanes, weight.rows - first), depth,
                    to + first * depth);
      }
    });
  };
  return {memory.filled(panel_sizes(depth, weight.rows), at::kFloat, write), depth, weight.rows};
}

PanelMatrix transposed(const PanelMatrix& matrix) {
  LateTensor room(panel_sizes(matrix.width, matrix.depth), at::kFloat, /*lasting=*/false);
  return transposed(matrix, room);
}

LateTensor room_for_transposed(const PanelMatrix& matrix, WeightMemory& memory) {
  return memory.late(panel_sizes(matrix.width, matrix.depth), at::kFloat);
}

PanelMatrix transposed(const PanelMatrix& matrix, LateTensor& room) {
  const auto* from = matrix.panels.const_data_ptr<float>();
  const std::int64_t depth = matrix.width;
  // Squares of one panel's width change places.
  const auto write = [&](const at::Tensor& panels, std::int64_t panel) {
    const std::int64_t first = panel * kLanes;
    auto* to = panels.mutable_data_ptr<float>() + first * depth;
    const std::int64_t count = std::min(kLanes, matrix.depth - first);
    for (std::int64_t row = 0; row < depth; row += kLanes) {
      const std::int64_t rows = std::min(kLanes, depth - row);
      write_panel(Rows<const float>{from + row * matrix.depth + first * kLanes, kLanes}, count, rows,
                  to + row * kLanes);
    }
  };
  return {room.get(panel_sizes(depth, matrix.depth)[0], write), depth, matrix.depth};
}

at::Tensor plain_transposed(const PanelMatrix& matrix) {
  const at::Tensor rows = matrix.panels.transpose(1, 2).clone(at::MemoryFormat::Contiguous);
  return rows.view({-1, matrix.depth}).narrow(0, 0, matrix.width);
}

}  // namespace chorale
