#include "core/kernels/nf4_weight.hpp"

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <vector>

#include "core/base/errors.hpp"
#include "core/kernels/nf4.hpp"
#include "core/kernels/parallel.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kCodeBytes = kNf4Block / 2;
constexpr std::int64_t kSlice = std::int64_t{1} << 24U;  // values decoded at a time by torch operations

template <typename T>
void decode_on_cpu(const at::Tensor& codes, const at::Tensor& scales, at::Tensor& out) {
  const auto* code = codes.const_data_ptr<std::uint8_t>();
  const auto* scale = scales.const_data_ptr<float>();
  auto* values = out.mutable_data_ptr<T>();
  const std::int64_t width = out.size(1);
  for_rows(out.size(0), width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      nf4_decode(code + row * codes.size(1), scale + row * scales.size(1), width, values + row * width);
    }
  });
}

}  // namespace

Nf4Weight::Nf4Weight(const WeightSource& weight, const CompactOptions& options, WeightMemory& memory)
    : CompactWeight(weight.rows, weight.columns, options) {
  const std::int64_t blocks = nf4_blocks(columns());
  const auto encode = [&](const at::Tensor& values, const CompactArrays& arrays) {
    const auto* from = values.const_data_ptr<float>();
    auto* codes = arrays.codes.mutable_data_ptr<std::uint8_t>();
    auto* scales = arrays.scales.mutable_data_ptr<float>();
    for_rows(rows(), columns(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        nf4_encode(from + row * columns(), columns(), codes + row * blocks * kCodeBytes, scales + row * blocks);
      }
    });
  };
  const CompactArrays arrays = compact_arrays(weight, blocks, blocks * kCodeBytes, at::kByte, options, memory, encode);
  codes_ = arrays.codes;
  scales_ = arrays.scales;
  if (!options.device.is_cpu()) pairs_ = nf4_level_pairs(options.device);
}

std::uint64_t Nf4Weight::bytes() const {
  return codes_.nbytes() + scales_.nbytes();
}

void Nf4Weight::decode(at::Tensor& out) const {
  if (out.is_cpu() && out.scalar_type() == at::kFloat) return decode_on_cpu<float>(codes_, scales_, out);
  if (out.is_cpu() && out.scalar_type() == at::kDouble) return decode_on_cpu<double>(codes_, scales_, out);
  nf4_decode_by_operations(codes_, scales_, pairs_.defined() ? pairs_ : nf4_level_pairs(at::kCPU), out);
}

at::Tensor nf4_level_pairs(at::Device device) {
  std::vector<float> levels;
  for (std::size_t code = 0; code < 256; ++code) {
    levels.push_back(kNf4Levels[code >> 4U]);
    levels.push_back(kNf4Levels[code & 15U]);
  }
  return at::tensor(levels, at::kFloat).view(at::kLong).to(device);
}

void nf4_decode_by_operations(const at::Tensor& codes, const at::Tensor& scales, const at::Tensor& pairs,
                              at::Tensor& out) {
  const std::int64_t blocks = scales.size(1);
  const std::int64_t step = std::max<std::int64_t>(1, kSlice / (blocks * kNf4Block));
  for (std::int64_t row = 0; row < codes.size(0); row += step) {
    const std::int64_t count = std::min(step, codes.size(0) - row);
    const at::Tensor index = codes.narrow(0, row, count).reshape({-1}).to(at::kInt);
    at::Tensor values = pairs.index_select(0, index).view(at::kFloat).view({count, blocks, kNf4Block});
    values.mul_(scales.narrow(0, row, count).unsqueeze(2));
    out.narrow(0, row, count).copy_(values.view({count, blocks * kNf4Block}).narrow(1, 0, out.size(1)));
  }
}

}  // namespace chorale
