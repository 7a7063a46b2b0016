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

Float8Weight::Float8Weight(const WeightSource& weight, const CompactOptions& options, WeightMemory& memory)
    : CompactWeight(weight.rows, weight.columns, options) {
  const auto encode = [](const at::Tensor& values, const CompactArrays& arrays) {
    const Float8Rows encoded = float8_rows(values);
    arrays.codes.copy_(encoded.codes);
    arrays.scales.copy_(encoded.scales);
  };
  const CompactArrays arrays = compact_arrays(weight, 1, columns(), at::kFloat8_e4m3fn, options, memory, encode);
  codes_ = arrays.codes;
  scales_ = arrays.scales;
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
