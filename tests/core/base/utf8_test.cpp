#include "core/base/utf8.hpp"

#include <vector>

#include "core/base/errors.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"

namespace chorale {
namespace {

using test::contains;
using test::input_error_of;

std::string replacements(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += "\xEF\xBF\xBD";
  }
  return text;
}

TEST_CASE("every Unicode scalar value survives encoding, checking and both ways of decoding") {
  for (char32_t value = 0; value <= 0x10FFFF; ++value) {
    if (value == 0xD800) {
      value = 0xE000;  // surrogates are no scalar values
    }
    std::string text = "x";
    append_utf8(text, value);
    const std::size_t expected = value < 0x80 ? 1 : value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
    const CodePoint forward = code_point_at(text, 1);
    const CodePoint backward = code_point_before(text, text.size());
    if (first_invalid_utf8(text) || forward.value != value || forward.bytes != expected || backward.value != value) {
      FAIL("code point " << static_cast<std::uint32_t>(value));
    }
  }
}

TEST_CASE("the first ill-formed byte of a text is found") {
  struct Case {
    std::string text;
    std::size_t offset;
  };
  const std::vector<Case> cases = {
      {"\x80", 0},
      {"ab\xFF", 2},
      {"ab\xC0\xAF", 2},              // overlong /
      {"\xC3\xA9\xE0\x9F\xBF", 2},    // overlong, three bytes
      {"\xF0\x8F\xBF\xBF", 0},        // overlong, four bytes
      {"a\xED\xA0\x80", 1},           // surrogate
      {"a\xF4\x90\x80\x80", 1},       // above U+10FFFF
      {"abc\xE2\x82", 3},             // cut off
      {"\xE2\x82\xAC\xE2\x82(", 3},   // continued by something else
      {std::string("a\0\xF8", 3), 2}  // no lead byte
  };
  for (const Case& c : cases) {
    INFO(c.text);
    REQUIRE(first_invalid_utf8(c.text) == c.offset);
  }
  REQUIRE_FALSE(first_invalid_utf8("").has_value());
  const std::string message = input_error_of([] { require_utf8("ab\xFF", "the line"); });
  REQUIRE_THAT(message, contains("the line"));
  REQUIRE_THAT(message, contains("0xff at offset 2"));
}

// The examples of the Unicode standard, tables 3-8 to 3-11.
TEST_CASE("maximal ill-formed parts are replaced one by one") {
  REQUIRE(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == replacements(8) + "A");
  REQUIRE(replace_invalid_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") == replacements(8) + "A");
  REQUIRE(replace_invalid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") ==
          replacements(5) + "A" + replacements(2) + "B");
  REQUIRE(replace_invalid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == replacements(4) + "A");
  REQUIRE(replace_invalid_utf8("na\xC3\xAFve") == "na\xC3\xAFve");
}

}  // namespace
}  // namespace chorale
