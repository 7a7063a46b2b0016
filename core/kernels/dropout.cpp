#include "core/kernels/dropout.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "core/base/random.hpp"
#include "core/kernels/device_kernels.hpp"
#include "core/kernels/parallel.hpp"
#include "core/kernels/sent.hpp"

namespace chorale {
namespace {

// splitmix64's finaliser: a bijection of 64 bits, so different rows of one run get different generator keys.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

constexpr std::uint64_t kSitesPerStep = 4096;

at::Tensor mask_on_host(const at::Tensor& like, const std::vector<std::int64_t>& stream_offsets,
                        const std::vector<std::uint64_t>& row_keys, const DropoutKey& key, double rate) {
  const std::int64_t width = like.size(1);
  at::Tensor mask = at::empty({like.size(0), width}, at::TensorOptions().dtype(at::kFloat));
  const auto keep = static_cast<float>(1.0 / (1.0 - rate));
  const auto threshold = static_cast<float>(rate);
  auto* data = mask.mutable_data_ptr<float>();
  for_rows(like.size(0), width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const auto stream =
          std::upper_bound(stream_offsets.begin(), stream_offsets.end(), row) - stream_offsets.begin() - 1;
      const RandomStream random(key.seed ^ mix(row_keys[static_cast<std::size_t>(row)]),
                                key.members[static_cast<std::size_t>(stream)], Purpose::dropout,
                                key.step * kSitesPerStep + key.site);
      float* out = data + row * width;
      for (std::int64_t i = 0; i < width; i += 4) {
        const philox::Block block = random.block(static_cast<std::uint64_t>(i / 4));
        for (std::int64_t j = i; j < std::min(i + 4, width); ++j) {
          out[j] = uniform_float(block[static_cast<std::size_t>(j - i)]) < threshold ? 0.0F : keep;
        }
      }
    }
  });
  return mask.to(like.options());
}

bool on_device(const at::Tensor& like, const std::vector<std::int64_t>& stream_offsets) {
  return draws_masks_on(like.device(), like.scalar_type(), static_cast<std::int64_t>(stream_offsets.size()) - 1);
}

at::Tensor sent_keys(const std::vector<std::uint64_t>& row_keys, c10::Device device) {
  const std::vector<std::int64_t> bits(row_keys.begin(), row_keys.end());
  return sent(at::tensor(bits, at::kLong), device);
}

// x times its mask, or the mask itself when x is null.
at::Tensor on_device(const at::Tensor& like, const void* x, const std::vector<std::int64_t>& stream_offsets,
                     const std::vector<std::uint64_t>& row_keys, const DropoutKey& key, double rate) {
  at::Tensor result = at::empty({like.size(0), like.size(1)}, like.options());
  const at::Tensor keys = key.device_row_keys.defined() ? key.device_row_keys : sent_keys(row_keys, like.device());
  const at::Tensor step = key.device_step.defined()
                              ? key.device_step
                              : at::full({1}, static_cast<std::int64_t>(key.step), like.options().dtype(at::kLong));
  device::Dropout a;
  a.type = kernel_type(like.scalar_type());
  a.x = x;
  a.y = result.mutable_data_ptr();
  a.row_keys = reinterpret_cast<const std::uint64_t*>(keys.const_data_ptr<std::int64_t>());
  a.step = reinterpret_cast<const std::uint64_t*>(step.const_data_ptr<std::int64_t>());
  a.ranges.members = static_cast<int>(stream_offsets.size()) - 1;
  std::copy(stream_offsets.begin(), stream_offsets.end(), std::begin(a.ranges.offsets));
  std::copy_n(key.members.begin(), a.ranges.members, std::begin(a.members));
  a.seed = key.seed;
  a.site = key.site;
  a.rows = like.size(0);
  a.width = like.size(1);
  a.threshold = static_cast<float>(rate);
  a.keep = static_cast<float>(1.0 / (1.0 - rate));
  DeviceKernels(like).run(&device::Kernels::dropout, a);
  return result;
}

}  // namespace

bool draws_masks_on(c10::Device device, at::ScalarType type, std::int64_t streams) {
  return is_kernel_type(type) && streams <= device::RowRanges::kMaxMembers && DeviceKernels(device);
}

at::Tensor dropout_mask(const at::Tensor& like, const std::vector<std::int64_t>& stream_offsets,
                        const std::vector<std::uint64_t>& row_keys, const DropoutKey& key, double rate) {
  return on_device(like, stream_offsets) ? on_device(like, nullptr, stream_offsets, row_keys, key, rate)
                                         : mask_on_host(like, stream_offsets, row_keys, key, rate);
}

at::Tensor dropped(const at::Tensor& x, const std::vector<std::int64_t>& stream_offsets,
                   const std::vector<std::uint64_t>& row_keys, const DropoutKey& key, double rate) {
  if (!on_device(x, stream_offsets)) return x * mask_on_host(x, stream_offsets, row_keys, key, rate);
  const at::Tensor in = x.contiguous();
  return on_device(in, in.const_data_ptr(), stream_offsets, row_keys, key, rate);
}

}  // namespace chorale
