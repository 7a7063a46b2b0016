// Vectorisation helpers for CPU kernels: one source, compiled for several instruction sets and chosen at load time.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

// Functions marked so are compiled three times and picked by the dynamic loader for the CPU at hand. Sanitizers run
// before the loader's choice is made, and clang does not know the names, so both take the baseline only.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define CHORALE_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
// What has no counterpart on narrower machines; to be called where has_wide_vectors() says so.
#define CHORALE_WIDE __attribute__((target("arch=x86-64-v4")))
#else
#define CHORALE_SIMD
#endif
// What a clone calls must be inlined into it, or it would be compiled for the baseline.
#define CHORALE_INLINE inline __attribute__((always_inline))

namespace chorale::simd {

/// Whether vectors are 64 bytes wide here (AVX-512), and code for them was compiled.
inline bool has_wide_vectors() {
#if defined(CHORALE_WIDE)
  static const bool wide = __builtin_cpu_supports("x86-64-v4") != 0;
  return wide;
#else
  return false;
#endif
}

/// e^x in float32 without a call, so that loops over it vectorise. Range reduction to |r| <= ln2/2 and a degree-7
/// Taylor polynomial: relative error below 2e-7. Arguments outside [-87, 88] are clamped there; NaN stays NaN.
CHORALE_INLINE float exponential(float x) {
  // Clamped as integers: seen without their signs, the numbers below -87 are the largest, and seen with them, those
  // above 88. Of a choice between numbers the compiler makes a branch, and computes everything behind it twice.
  const std::uint32_t not_below = std::min(std::bit_cast<std::uint32_t>(x), std::bit_cast<std::uint32_t>(-87.0F));
  const auto clamped =
      std::bit_cast<float>(std::min(static_cast<std::int32_t>(not_below), std::bit_cast<std::int32_t>(88.0F)));
  // Adding and subtracting 1.5*2^23 rounds to the nearest integer; the compiler keeps the order without -ffast-math.
  const float shifted = clamped * 1.44269504088896341F + 12582912.0F;
  const float count = shifted - 12582912.0F;
  const float r = (clamped - count * 0.693359375F) - count * -2.12194440e-4F;
  float p = 1.9841270e-4F;
  p = p * r + 1.3888889e-3F;
  p = p * r + 8.3333333e-3F;
  p = p * r + 4.1666667e-2F;
  p = p * r + 1.6666667e-1F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const auto exponent = static_cast<std::int32_t>(count);
  const float value = p * std::bit_cast<float>((exponent + 127) << 23);
  return x == x ? value : x;
}

/// float64 twin, for gradient checks: exactness matters there, speed does not.
CHORALE_INLINE double exponential(double x) {
  return std::exp(x);
}

}  // namespace chorale::simd
