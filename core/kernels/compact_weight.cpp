#include "core/kernels/compact_weight.hpp"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include "core/base/errors.hpp"
#include "core/kernels/float8_weight.hpp"
#include "core/kernels/nf4.hpp"
#include "core/kernels/nf4_weight.hpp"
#include "core/kernels/onednn_linear.hpp"

namespace chorale {

at::Tensor WeightScratch::fresh(std::int64_t rows, std::int64_t columns, at::ScalarType type, at::Device device) {
  return at::empty({rows, columns}, at::TensorOptions().dtype(type).device(device));
}

at::Tensor WeightScratch::kept(std::int64_t rows, std::int64_t columns, at::ScalarType type) {
  const auto bytes = rows * columns * static_cast<std::int64_t>(c10::elementSize(type));
  if (!memory_.defined() || memory_.numel() < bytes) {
    memory_ = at::Tensor();  // the old room first: they need not stand side by side
    memory_ = at::empty({bytes}, at::kByte);
  }
  return memory_.narrow(0, 0, bytes).view(type).view({rows, columns});
}

CompactWeight::CompactWeight(std::int64_t rows, std::int64_t columns, CompactOptions options)
    : rows_(rows), columns_(columns), options_(std::move(options)) {
  CHORALE_ASSERT(options_.scratch != nullptr, "a compact weight is decoded into a scratch buffer");
}

at::Tensor CompactWeight::product(const at::Tensor& x, const at::Tensor& bias) const {
  return options_.scratch->lend(rows_, columns_, options_.type, options_.device, [&](at::Tensor weight) {
    decode(weight);
    if (has_onednn_linear(weight)) return onednn_linear(x, weight, bias);
    return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
  });
}

at::Tensor CompactWeight::input_gradient(const at::Tensor& dy) const {
  return options_.scratch->lend(rows_, columns_, options_.type, options_.device, [&](at::Tensor weight) {
    decode(weight);
    if (has_onednn_linear(weight)) return onednn_linear(dy, weight.t(), at::Tensor());
    return at::mm(dy, weight);
  });
}

at::Tensor CompactWeight::decoded() const {
  at::Tensor weight = at::empty({rows_, columns_}, at::TensorOptions().dtype(options_.type).device(options_.device));
  decode(weight);
  return weight;
}

CompactWeightPtr make_compact_weight(LinearFormat format, const at::Tensor& weight, const CompactOptions& options) {
  WeightMemory own;
  return make_compact_weight(format, {weight.size(0), weight.size(1), [&] { return weight; }}, options, own);
}

CompactWeightPtr make_compact_weight(LinearFormat format, const WeightSource& weight, const CompactOptions& options,
                                     WeightMemory& memory) {
  CHORALE_ASSERT(format != LinearFormat::plain, "a plain weight is not compact");
  if (format == LinearFormat::nf4) return std::make_shared<const Nf4Weight>(weight, options, memory);
  return std::make_shared<const Float8Weight>(weight, options, memory);
}

CompactArrays compact_arrays(const WeightSource& weight, std::int64_t scale_columns, std::int64_t code_columns,
                             at::ScalarType code_type, const CompactOptions& options, WeightMemory& memory,
                             const std::function<void(const at::Tensor&, const CompactArrays&)>& encode) {
  const std::int64_t scale_bytes = weight.rows * scale_columns * 4;
  const std::int64_t code_bytes = weight.rows * code_columns;
  const auto arrays_in = [&](const at::Tensor& bytes) {
    return CompactArrays{bytes.narrow(0, 0, scale_bytes).view(at::kFloat).view({weight.rows, scale_columns}),
                         bytes.narrow(0, scale_bytes, code_bytes).view(code_type).view({weight.rows, code_columns})};
  };
  WeightMemory own;
  WeightMemory& place = options.device.is_cpu() ? memory : own;
  const at::Tensor bytes = place.filled({scale_bytes + code_bytes}, at::kByte, [&](const at::Tensor& room) {
    const at::Tensor values = weight.read();
    CHORALE_ASSERT(values.is_cpu() && values.scalar_type() == at::kFloat,
                   "weights are encoded from float32 on the CPU");
    encode(values.contiguous(), arrays_in(room));
  });
  const CompactArrays arrays = arrays_in(bytes);
  return {arrays.scales.to(options.device), arrays.codes.to(options.device)};
}

std::uint64_t compact_row_bytes(LinearFormat format, std::int64_t columns) {
  if (format == LinearFormat::nf4) return static_cast<std::uint64_t>(nf4_blocks(columns) * (kNf4Block / 2 + 4));
  return static_cast<std::uint64_t>(columns + 4);
}

}  // namespace chorale
