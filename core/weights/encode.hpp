// From float32 to the types weights are stored in.
#pragma once

#include <cstdint>

namespace chorale {

/// Bit patterns of the nearest bfloat16 and IEEE 754 half, ties to even. What is too large becomes infinite; NaN stays
/// NaN.
[[nodiscard]] std::uint16_t bfloat16_from_float(float value);
[[nodiscard]] std::uint16_t half_from_float(float value);

}  // namespace chorale
