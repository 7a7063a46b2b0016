#include "core/kernels/float8_weight.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/kernels/float8.hpp"
#include "core/kernels/float8_product.hpp"
#include "core/kernels/parallel.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kSlice = std::int64_t{1} << 24U;  // values decoded at a time by torch operations

template <typename T>
void decode_on_cpu(const at::Tensor& codes, const at::Tensor& scales, at::Tensor& out) {
  const auto* code = static_cast<const std::uint8_t*>(codes.const_data_ptr());
  const auto* scale = scales.const_data_ptr<float>();
  auto* values = out.mutable_data_ptr<T>();
  const std::int64_t width = out.size(1);
  for_rows(out.size(0), width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      float8_decode(code + row * width, scale[row], width, values + row * width);
    }
  });
}

}  // namespace

Float8Weight::Float8Weight(const at::Tensor& weight, const CompactOptions& options)
    : CompactWeight(weight.size(0), weight.size(1), options) {
  CHORALE_ASSERT(weight.is_cpu() && weight.scalar_type() == at::kFloat, "weights are encoded from float32 on the CPU");
  const Float8Rows rows_of_weight = float8_rows(weight);
  codes_ = rows_of_weight.codes.to(options.device);
  scales_ = rows_of_weight.scales.to(options.device);
  multiplied_as_it_is_ =
      options.type == at::kBFloat16 && float8_products_on(options.device) && float8_product_takes(rows(), columns());
}

at::Tensor Float8Weight::product(const at::Tensor& x, const at::Tensor& bias) const {
  if (!multiplied_as_it_is_ || x.size(0) == 0) return CompactWeight::product(x, bias);
  return float8_product(x, codes_, scales_, bias);
}

at::Tensor Float8Weight::input_gradient(const at::Tensor& dy) const {
  if (!multiplied_as_it_is_ || dy.size(0) == 0) return CompactWeight::input_gradient(dy);
  return float8_input_gradient(dy, codes_, scales_);
}

std::uint64_t Float8Weight::bytes() const {
  return codes_.nbytes() + scales_.nbytes();
}

void Float8Weight::decode(at::Tensor& out) const {
  if (out.is_cpu() && out.scalar_type() == at::kFloat) return decode_on_cpu<float>(codes_, scales_, out);
  if (out.is_cpu() && out.scalar_type() == at::kDouble) return decode_on_cpu<double>(codes_, scales_, out);
  const std::int64_t step = std::max<std::int64_t>(1, kSlice / columns());
  for (std::int64_t row = 0; row < rows(); row += step) {
    const std::int64_t count = std::min(step, rows() - row);
    out.narrow(0, row, count).copy_(codes_.narrow(0, row, count).to(at::kFloat).mul_(scales_.narrow(0, row, count)));
  }
}

}  // namespace chorale
