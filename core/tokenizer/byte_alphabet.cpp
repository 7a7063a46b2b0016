#include "core/tokenizer/byte_alphabet.hpp"

#include "core/base/utf8.hpp"

namespace chorale {

namespace {

constexpr std::size_t last_character = 0x143;  // 68 bytes are moved to U+0100..U+0143

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<std::int16_t, last_character + 1> bytes;
};

Alphabet build_alphabet() {
  Alphabet alphabet;
  alphabet.bytes.fill(-1);
  char32_t next_moved = 0x100;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
    const char32_t character = printable ? static_cast<char32_t>(byte) : next_moved++;
    append_utf8(alphabet.characters[byte], character);
    alphabet.bytes[character] = static_cast<std::int16_t>(byte);
  }
  return alphabet;
}

const Alphabet& alphabet() {
  static const Alphabet built = build_alphabet();
  return built;
}

}  // namespace

const std::array<std::string, 256>& byte_characters() {
  return alphabet().characters;
}

std::string to_byte_characters(std::string_view bytes) {
  std::string stored;
  stored.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    stored += alphabet().characters[static_cast<unsigned char>(byte)];
  }
  return stored;
}

std::optional<std::string> from_byte_characters(std::string_view stored) {
  std::string bytes;
  bytes.reserve(stored.size());
  for (std::size_t offset = 0; offset < stored.size();) {
    const CodePoint character = code_point_at(stored, offset);
    if (character.value > last_character || alphabet().bytes[character.value] < 0) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(alphabet().bytes[character.value]));
    offset += character.bytes;
  }
  return bytes;
}

}  // namespace chorale
