#include "core/weights/decode.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/gguf_builder.hpp"

using namespace chorale;
using chorale::test::bytes_of;

namespace {

TensorView view(const std::string& bytes, StorageType type, std::vector<std::int64_t> shape) {
  return {"x", std::move(shape), type, std::as_bytes(std::span(bytes))};
}

std::vector<float> decoded(const TensorView& tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor.element_count()));
  decode(tensor, out);
  return out;
}

// The definition of IEEE 754 binary16, by arithmetic instead of bits.
double half_by_definition(std::uint16_t bits) {
  const double sign = (bits & 0x8000U) != 0 ? -1.0 : 1.0;
  const int exponent = (bits >> 10U) & 31;
  const double fraction = bits & 1023U;
  if (exponent == 31) {
    return fraction == 0.0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  }
  return exponent == 0 ? sign * std::ldexp(fraction, -24) : sign * std::ldexp(1024.0 + fraction, exponent - 25);
}

}  // namespace

TEST_CASE("every half-precision pattern decodes to its definition", "[weights]") {
  std::string bytes;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    bytes += bytes_of(static_cast<std::uint16_t>(bits));
  }
  const auto values = decoded(view(bytes, StorageType::float16, {256, 256}));
  int wrong = 0;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const double expected = half_by_definition(half);
    const auto found = static_cast<double>(values[bits]);
    const bool same =
        std::isnan(expected) ? std::isnan(found) : found == expected && std::signbit(found) == std::signbit(expected);
    wrong += same && std::memcmp(&values[bits], bytes_of(float_from_half(half)).data(), 4) == 0 ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("plain types decode to the nearest float32", "[weights]") {
  CHECK(decoded(view(bytes_of(1.5) + bytes_of(-0.1), StorageType::float64, {2})) == std::vector<float>{1.5F, -0.1F});
  CHECK(decoded(view(bytes_of(3.25F), StorageType::float32, {})) == std::vector<float>{3.25F});
  CHECK(decoded(view(bytes_of<std::uint16_t>(0x3fc0) + bytes_of<std::uint16_t>(0xc2f7), StorageType::bfloat16, {2})) ==
        std::vector<float>{1.5F, -123.5F});
  CHECK(decoded(view("", StorageType::float32, {0, 7})).empty());
}

TEST_CASE("blocks put low nibbles first", "[weights]") {
  const auto half = [](std::uint16_t bits) { return bytes_of(bits); };
  std::string nibbles;
  std::vector<float> q4_0(32);
  std::vector<float> q4_1(32);
  for (int j = 0; j < 16; ++j) {
    const int low = j;
    const int high = 15 - j;
    nibbles += static_cast<char>(low | (high << 4));
    const auto at = static_cast<std::size_t>(j);
    q4_0[at] = 0.5F * static_cast<float>(low - 8);
    q4_0[at + 16] = 0.5F * static_cast<float>(high - 8);
    q4_1[at] = 0.5F * static_cast<float>(low) - 2.0F;
    q4_1[at + 16] = 0.5F * static_cast<float>(high) - 2.0F;
  }
  CHECK(decoded(view(half(0x3800) + nibbles, StorageType::q4_0, {32})) == q4_0);
  CHECK(decoded(view(half(0x3800) + half(0xc000) + nibbles, StorageType::q4_1, {32})) == q4_1);

  std::string quants;
  std::vector<float> q8_0;
  for (int j = -16; j < 16; ++j) {
    quants += static_cast<char>(8 * j);
    q8_0.push_back(0.5F * static_cast<float>(8 * j));
  }
  CHECK(decoded(view(half(0x3800) + quants, StorageType::q8_0, {32})) == q8_0);
}

TEST_CASE("ranges of rows are the rows of the whole", "[weights]") {
  for (const StorageType type : {StorageType::float64, StorageType::float32, StorageType::float16,
                                 StorageType::bfloat16, StorageType::q4_0, StorageType::q4_1, StorageType::q8_0}) {
    const BlockLayout layout = block_layout(type);
    std::string bytes;
    for (std::int64_t i = 0; i < 2 * 3 * 64 / layout.elements * layout.bytes; ++i) {
      bytes += static_cast<char>((i * 37) % 59);  // small positive exponents everywhere: no NaN
    }
    const TensorView tensor = view(bytes, type, {2, 3, 64});
    REQUIRE(row_count(tensor) == 6);
    REQUIRE(row_length(tensor) == 64);
    const auto whole = decoded(tensor);
    std::vector<float> part(3 * 64);
    decode_rows(tensor, 2, 3, part);
    CHECK(part == std::vector<float>(whole.begin() + 128, whole.begin() + 320));
    CHECK_THROWS_AS(decode_rows(tensor, 4, 3, part), InternalError);
    CHECK_THROWS_AS(decode_rows(tensor, 0, 2, part), InternalError);
  }
}
