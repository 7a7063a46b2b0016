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
  CHORALE_ASSERT(format != LinearFormat::plain, "a plain weight is not compact");
  if (format == LinearFormat::nf4) return std::make_shared<const Nf4Weight>(weight, options);
  return std::make_shared<const Float8Weight>(weight, options);
}

std::uint64_t compact_row_bytes(LinearFormat format, std::int64_t columns) {
  if (format == LinearFormat::nf4) return static_cast<std::uint64_t>(nf4_blocks(columns) * (kNf4Block / 2 + 4));
  return static_cast<std::uint64_t>(columns + 4);
}

}  // namespace chorale
