// NF4, the four-bit code of QLoRA (arXiv 2305.14314, appendix E), on the CPU.
#pragma once

#include <array>
#include <cstdint>

namespace chorale {

/// Values that share one scale: consecutive ones of a row; a row's last block may be shorter.
inline constexpr std::int64_t kNf4Block = 64;

/// The 16 levels: quantiles of the standard normal distribution, scaled to [-1, 1], with an exact zero.
inline constexpr std::array<float, 16> kNf4Levels = {-1.0F,
                                                     -0.6961928009986877F,
                                                     -0.5250730514526367F,
                                                     -0.39491748809814453F,
                                                     -0.28444138169288635F,
                                                     -0.18477343022823334F,
                                                     -0.09105003625154495F,
                                                     0.0F,
                                                     0.07958029955625534F,
                                                     0.16093020141124725F,
                                                     0.24611230194568634F,
                                                     0.33791524171829224F,
                                                     0.44070982933044434F,
                                                     0.5626170039176941F,
                                                     0.7229568362236023F,
                                                     1.0F};

/// Blocks of a row of `width` values. A row takes 32 bytes of codes and one float32 scale a block: 4.5 bits a value.
[[nodiscard]] constexpr std::int64_t nf4_blocks(std::int64_t width) {
  return (width + kNf4Block - 1) / kNf4Block;
}

/// Encodes one row: of each block the largest magnitude into `scales`, and the nearest level of every value over it (of
/// two equally near ones the lower) into `codes`, two a byte, the first in the upper half. A short last block is filled
/// up with zeros. A block with a value that is not finite becomes NaN as a whole.
void nf4_encode(const float* row, std::int64_t width, std::uint8_t* codes, float* scales);

/// The row again: level * scale in float32. The float64 version widens the same values.
void nf4_decode(const std::uint8_t* codes, const float* scales, std::int64_t width, float* row);
void nf4_decode(const std::uint8_t* codes, const float* scales, std::int64_t width, double* row);

/// The plain twin of nf4_decode: one value after the other, in float64 throughout.
void nf4_decode_plain(const std::uint8_t* codes, const float* scales, std::int64_t width, double* row);

}  // namespace chorale
