// Eight-bit floats with four bits of exponent and three of fraction (e4m3, arXiv 2209.05433) on the CPU.
#pragma once

#include <cstdint>

namespace chorale {

/// The largest number of the code; there is no infinity.
inline constexpr double kFloat8Largest = 448.0;

/// out[i] = value of codes[i] * scale, in float32; the float64 version widens the same values. (Encoding is torch's
/// cast.)
void float8_decode(const std::uint8_t* codes, float scale, std::int64_t count, float* out);
void float8_decode(const std::uint8_t* codes, float scale, std::int64_t count, double* out);

}  // namespace chorale
