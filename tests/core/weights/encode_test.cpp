#include "core/weights/encode.hpp"

#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "core/weights/decode.hpp"
#include "support/catch.hpp"

using namespace chorale;

namespace {

using Encode = std::function<std::uint16_t(float)>;
using Decode = std::function<float(std::uint16_t)>;

// Every finite value of the type, the point half way to the next, and its neighbours on both sides: rounding to the
// nearest, ties to even, is decided there. The reader of the type is the truth.
void check_everywhere(const Encode& encode, const Decode& decode, std::uint16_t infinity) {
  const float endless = std::numeric_limits<float>::infinity();
  for (const std::uint16_t sign : {std::uint16_t{0}, std::uint16_t{0x8000}}) {
    for (std::uint16_t bits = 0; bits < infinity; ++bits) {
      const auto here = static_cast<std::uint16_t>(sign | bits);
      const auto next = static_cast<std::uint16_t>(here + 1);
      const float value = decode(here);
      REQUIRE(encode(value) == here);
      // Beyond the largest value rounding goes on as if there were one more.
      const float above =
          bits + 1 == infinity ? value + (value - decode(static_cast<std::uint16_t>(here - 1))) : decode(next);
      const double middle = (static_cast<double>(value) + static_cast<double>(above)) / 2.0;
      const auto exact = static_cast<float>(middle);
      if (static_cast<double>(exact) != middle || !std::isfinite(exact)) continue;  // no float lies there
      REQUIRE(encode(exact) == (bits % 2 == 0 ? here : next));
      REQUIRE(encode(std::nextafter(exact, 0.0F)) == here);
      REQUIRE(encode(std::nextafter(exact, std::copysign(endless, exact))) == next);
    }
    REQUIRE(encode(sign == 0 ? endless : -endless) == static_cast<std::uint16_t>(sign | infinity));
  }
  CHECK(std::isnan(decode(encode(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(std::isnan(decode(encode(std::bit_cast<float>(0x7F800001U)))));
}

}  // namespace

TEST_CASE("half precision rounds to the nearest value, ties to even", "[weights]") {
  check_everywhere(half_from_float, float_from_half, 0x7C00);
  CHECK(half_from_float(65504.0F) == 0x7BFF);
  CHECK(half_from_float(65519.996F) == 0x7BFF);
  CHECK(half_from_float(65520.0F) == 0x7C00);
  CHECK(half_from_float(1e30F) == 0x7C00);
}

TEST_CASE("bfloat16 rounds to the nearest value, ties to even", "[weights]") {
  check_everywhere(bfloat16_from_float, float_from_bfloat16, 0x7F80);
  CHECK(bfloat16_from_float(std::numeric_limits<float>::max()) == 0x7F80);
}
