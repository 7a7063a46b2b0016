#include "core/kernels/dropout.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "core/base/random.hpp"
#include "core/kernels/parallel.hpp"

namespace chorale {
namespace {

// splitmix64's finaliser: a bijection of 64 bits, so different rows of one run get different generator keys.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

constexpr std::uint64_t kSitesPerStep = 4096;

}  // namespace

at::Tensor dropout_mask(const at::Tensor& like, const std::vector<std::int64_t>& stream_offsets,
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

}  // namespace chorale
