// How the frozen weights may be held: the one list of what base.dtype accepts.
#pragma once

#include <cstdint>

#include "launch/recipe/names.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale::recipe {

/// Words and values, the largest first.
inline constexpr Names<BaseDtype, 2> kBaseDtypes = {
    {{"float32", BaseDtype::float32}, {"bfloat16", BaseDtype::bfloat16}}};

/// Bytes of one weight, norms aside (core/training/memory_estimate.hpp).
[[nodiscard]] constexpr std::uint64_t weight_bytes(BaseDtype dtype) {
  switch (dtype) {
    case BaseDtype::float32:
      return 4;
    case BaseDtype::bfloat16:
      return 2;
  }
  return 4;
}

}  // namespace chorale::recipe
