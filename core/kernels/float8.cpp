#include "core/kernels/float8.hpp"

#include <bit>

#include "core/kernels/simd.hpp"

namespace chorale {
namespace {

// 2^(exponent - 7) * (1 + fraction / 8), or 2^-6 * fraction / 8 where the exponent is zero; all ones are NaN. No
// float32 below the normal range is touched on the way: those are slow, and lost where they count as zero. Chosen by
// masks, for a loop with conditions between floats is not vectorised.
CHORALE_INLINE float value_of(std::uint8_t code) {
  const std::uint32_t magnitude = code & 0x7FU;
  const std::uint32_t normal = (magnitude << 20U) + (120U << 23U);
  const auto small = std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-9F);
  const std::uint32_t is_small = 0U - static_cast<std::uint32_t>(magnitude < 8U);
  const std::uint32_t nan = (0U - static_cast<std::uint32_t>(magnitude == 0x7FU)) & 0x7FC00000U;
  const std::uint32_t sign = (code & 0x80U) << 24U;
  return std::bit_cast<float>((small & is_small) | (normal & ~is_small) | nan | sign);
}

template <typename T>
CHORALE_INLINE void decode(const std::uint8_t* codes, float scale, std::int64_t count, T* out) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(value_of(codes[i]) * scale);
}

CHORALE_SIMD void decode_f32(const std::uint8_t* codes, float scale, std::int64_t count, float* out) {
  decode(codes, scale, count, out);
}
CHORALE_SIMD void decode_f64(const std::uint8_t* codes, float scale, std::int64_t count, double* out) {
  decode(codes, scale, count, out);
}

}  // namespace

void float8_decode(const std::uint8_t* codes, float scale, std::int64_t count, float* out) {
  decode_f32(codes, scale, count, out);
}

void float8_decode(const std::uint8_t* codes, float scale, std::int64_t count, double* out) {
  decode_f64(codes, scale, count, out);
}

}  // namespace chorale
