#include "core/tokenizer/byte_alphabet.hpp"

#include <set>

#include "support/catch.hpp"

namespace chorale {
namespace {

TEST_CASE("256 different characters stand for the bytes") {
  const auto& characters = byte_characters();
  REQUIRE(std::set<std::string>(characters.begin(), characters.end()).size() == 256);
  // As published vocabularies have them.
  REQUIRE(characters['A'] == "A");
  REQUIRE(characters['~'] == "~");
  REQUIRE(characters[' '] == "\u0120");
  REQUIRE(characters['\n'] == "\u010a");
  REQUIRE(characters[0x00] == "\u0100");
  REQUIRE(characters[0x7F] == "\u0121");
  REQUIRE(characters[0xA0] == "\u0142");
  REQUIRE(characters[0xAD] == "\u0143");
  REQUIRE(characters[0xAE] == "\u00ae");
  REQUIRE(characters[0xFF] == "\u00ff");
}

TEST_CASE("bytes come back from their characters, and foreign characters give nothing") {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) {
    bytes.push_back(static_cast<char>(byte));
  }
  REQUIRE(from_byte_characters(to_byte_characters(bytes)) == bytes);
  REQUIRE_FALSE(from_byte_characters("a b").has_value());
  REQUIRE_FALSE(from_byte_characters("\u0144").has_value());
  REQUIRE_FALSE(from_byte_characters("\U0001F600").has_value());
}

}  // namespace
}  // namespace chorale
