#include "core/kernels/panel_matrix.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "core/kernels/simd.hpp"
#include "core/kernels/small_product.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kLanes = kPanel<float>;

PanelMatrix room_for(std::int64_t depth, std::int64_t width) {
  const std::int64_t panels = (width + kLanes - 1) / kLanes;
  const auto options = at::TensorOptions().dtype(at::kFloat);
  // Whole panels are written over entirely.
  return {
      width % kLanes == 0 ? at::empty({panels, depth, kLanes}, options) : at::zeros({panels, depth, kLanes}, options),
      depth, width};
}

}  // namespace

bool has_panel_products() {
  return simd::has_wide_vectors();
}

PanelMatrix panels_of_transposed(const at::Tensor& weight) {
  const at::Tensor rows = weight.contiguous();
  PanelMatrix result = room_for(rows.size(1), rows.size(0));
  const auto* from = rows.const_data_ptr<float>();
  auto* to = result.panels.mutable_data_ptr<float>();
  at::parallel_for(0, result.panels.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const std::int64_t first = panel * kLanes;
      transpose_rows(Rows<const float>{from + first * result.depth, result.depth},
                     Rows<float>{to + first * result.depth, kLanes}, std::min(kLanes, result.width - first),
                     result.depth);
    }
  });
  return result;
}

PanelMatrix transposed(const PanelMatrix& matrix) {
  PanelMatrix result = room_for(matrix.width, matrix.depth);
  const auto* from = matrix.panels.const_data_ptr<float>();
  auto* to = result.panels.mutable_data_ptr<float>();
  // Squares of one panel's width change places.
  at::parallel_for(0, result.panels.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const std::int64_t first = panel * kLanes;
      for (std::int64_t row = 0; row < result.depth; row += kLanes) {
        transpose_rows(Rows<const float>{from + row * matrix.depth + first * kLanes, kLanes},
                       Rows<float>{to + first * result.depth + row * kLanes, kLanes},
                       std::min(kLanes, result.width - first), std::min(kLanes, result.depth - row));
      }
    }
  });
  return result;
}

at::Tensor plain_transposed(const PanelMatrix& matrix) {
  const at::Tensor rows = matrix.panels.transpose(1, 2).clone(at::MemoryFormat::Contiguous);
  return rows.view({-1, matrix.depth}).narrow(0, 0, matrix.width);
}

}  // namespace chorale
