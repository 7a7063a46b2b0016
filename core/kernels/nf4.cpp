#include "core/kernels/nf4.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/kernels/simd.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kCodeBytes = kNf4Block / 2;

// What lies above is nearer to the next level. Rounded down where float32 has no such number, so that a float32
// compares with it as with the exact middle.
std::array<float, 15> middles() {
  std::array<float, 15> result{};
  for (std::size_t i = 0; i < result.size(); ++i) {
    const double middle = (static_cast<double>(kNf4Levels[i]) + static_cast<double>(kNf4Levels[i + 1])) / 2;
    result[i] = static_cast<float>(middle);
    if (static_cast<double>(result[i]) > middle) {
      result[i] = std::nextafter(result[i], -std::numeric_limits<float>::infinity());
    }
  }
  return result;
}

const std::array<float, 15> kMiddles = middles();

// Both levels of a byte of codes side by side: one look-up for two values.
struct Pair {
  float first, second;
};

std::array<Pair, 256> pairs() {
  std::array<Pair, 256> result{};
  for (std::size_t code = 0; code < result.size(); ++code)
    result[code] = {kNf4Levels[code >> 4U], kNf4Levels[code & 15U]};
  return result;
}

const std::array<Pair, 256> kPairs = pairs();

CHORALE_INLINE void encode_block(const float* values, std::uint8_t* codes, float* scale) {
  float largest = 0;
  std::int32_t finite = 1;
#pragma omp simd reduction(max : largest) reduction(& : finite)
  for (std::int64_t i = 0; i < kNf4Block; ++i) {
    const float magnitude = std::fabs(values[i]);
    largest = std::max(largest, magnitude);
    finite &= magnitude <= std::numeric_limits<float>::max() ? 1 : 0;
  }
  *scale = finite != 0 ? largest : std::numeric_limits<float>::quiet_NaN();
  const float divisor = *scale == 0.0F ? 1.0F : *scale;
  std::int32_t level[kNf4Block];
#pragma omp simd
  for (std::int64_t i = 0; i < kNf4Block; ++i) {
    const float value = values[i] / divisor;
    std::int32_t above = 0;
#pragma GCC unroll 15
    for (std::size_t k = 0; k < 15; ++k) above += value > kMiddles[k] ? 1 : 0;
    level[i] = above;
  }
#pragma omp simd
  for (std::int64_t i = 0; i < kCodeBytes; ++i) {
    codes[i] = static_cast<std::uint8_t>(level[2 * i] << 4 | level[2 * i + 1]);
  }
}

CHORALE_INLINE void encode_row(const float* row, std::int64_t width, std::uint8_t* codes, float* scales) {
  std::int64_t begin = 0;
  for (; begin + kNf4Block <= width; begin += kNf4Block, codes += kCodeBytes) {
    encode_block(row + begin, codes, scales++);
  }
  if (begin == width) return;
  float rest[kNf4Block] = {};
  std::copy(row + begin, row + width, rest);
  encode_block(rest, codes, scales);
}

template <typename T>
CHORALE_INLINE void decode_row(const std::uint8_t* codes, const float* scales, std::int64_t width, T* row) {
  Pair values[kCodeBytes];
  for (std::int64_t begin = 0; begin < width; begin += kNf4Block, codes += kCodeBytes, ++scales) {
    const std::int64_t count = std::min(kNf4Block, width - begin);
    for (std::int64_t i = 0; i < kCodeBytes; ++i) values[i] = kPairs[codes[i]];
    const float* levels = &values[0].first;
    const float scale = *scales;
    T* out = row + begin;
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(levels[i] * scale);
  }
}

CHORALE_SIMD void encode_simd(const float* row, std::int64_t width, std::uint8_t* codes, float* scales) {
  encode_row(row, width, codes, scales);
}
CHORALE_SIMD void decode_f32(const std::uint8_t* codes, const float* scales, std::int64_t width, float* row) {
  decode_row(codes, scales, width, row);
}
CHORALE_SIMD void decode_f64(const std::uint8_t* codes, const float* scales, std::int64_t width, double* row) {
  decode_row(codes, scales, width, row);
}

}  // namespace

void nf4_encode(const float* row, std::int64_t width, std::uint8_t* codes, float* scales) {
  encode_simd(row, width, codes, scales);
}

void nf4_decode(const std::uint8_t* codes, const float* scales, std::int64_t width, float* row) {
  decode_f32(codes, scales, width, row);
}

void nf4_decode(const std::uint8_t* codes, const float* scales, std::int64_t width, double* row) {
  decode_f64(codes, scales, width, row);
}

void nf4_decode_plain(const std::uint8_t* codes, const float* scales, std::int64_t width, double* row) {
  for (std::int64_t i = 0; i < width; ++i) {
    const std::uint8_t both = codes[i / 2];
    const std::size_t level = i % 2 == 0 ? both >> 4U : both & 15U;
    row[i] = static_cast<double>(kNf4Levels[level]) * static_cast<double>(scales[i / kNf4Block]);
  }
}

}  // namespace chorale
