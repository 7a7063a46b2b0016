#include "core/weights/encode.hpp"

#include <bit>
#include <cmath>

namespace chorale {

std::uint16_t bfloat16_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16U | 0x40U);
  // Half of the last place that stays, less one when that place is even: a carry runs into the exponent, as it should.
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U);
}

std::uint16_t half_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16U & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t result = 0x7C00U;  // infinity, also for what rounds to 65536
  if (std::isnan(value)) {
    result = 0x7E00U;
  } else if (magnitude < 0x38800000U) {  // below 2^-14: a whole number of steps of 2^-24
    const float steps = std::bit_cast<float>(magnitude) * 0x1p24F;
    result = static_cast<std::uint32_t>(std::nearbyint(steps));
  } else if (magnitude < 0x477FF000U) {  // below 65520
    result = (magnitude - 0x38000000U + 0xFFFU + (magnitude >> 13U & 1U)) >> 13U;
  }
  return static_cast<std::uint16_t>(sign | result);
}

}  // namespace chorale
