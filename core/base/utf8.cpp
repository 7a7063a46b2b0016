#include "core/base/utf8.hpp"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

#include "core/base/errors.hpp"

namespace chorale {

namespace {

unsigned char byte_at(std::string_view text, std::size_t offset) {
  return static_cast<unsigned char>(text[offset]);
}

/// Decodes at `offset`; bytes is 0 when the sequence there is ill formed.
CodePoint decode(std::string_view text, std::size_t offset) {
  const unsigned char first = byte_at(text, offset);
  if (first < 0x80) {
    return {first, 1};
  }
  utf8proc_int32_t value = 0;
  utf8proc_uint8_t unit[4] = {};
  const std::size_t available = std::min<std::size_t>(4, text.size() - offset);
  for (std::size_t i = 0; i < available; ++i) {
    unit[i] = byte_at(text, offset + i);
  }
  const utf8proc_ssize_t used = utf8proc_iterate(unit, static_cast<utf8proc_ssize_t>(available), &value);
  if (used <= 0 || value < 0) {
    return {0, 0};
  }
  return {static_cast<char32_t>(value), static_cast<std::size_t>(used)};
}

/// Length of the longest prefix at `offset` that could still have become a well-formed sequence; at least 1.
std::size_t maximal_subpart(std::string_view bytes, std::size_t offset) {
  const unsigned char first = byte_at(bytes, offset);
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) {
    return 1;
  }
  // The second byte's range is narrower after four lead bytes: no overlong forms, no surrogates, no more than U+10FFFF.
  const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  std::size_t used = 1;
  while (used < length && offset + used < bytes.size()) {
    const unsigned char next = byte_at(bytes, offset + used);
    if (used == 1 ? (next < low || next > high) : (next < 0x80 || next > 0xBF)) {
      break;
    }
    ++used;
  }
  return used;
}

}  // namespace

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  std::size_t offset = 0;
  while (offset < text.size()) {
    const std::size_t used = decode(text, offset).bytes;
    if (used == 0) {
      return offset;
    }
    offset += used;
  }
  return std::nullopt;
}

void require_utf8(std::string_view text, std::string_view what) {
  if (const auto offset = first_invalid_utf8(text)) {
    throw InputError(fmt::format("{} is not valid UTF-8: byte 0x{:02x} at offset {}. Convert it to UTF-8 first.", what,
                                 byte_at(text, *offset), *offset));
  }
}

CodePoint code_point_at(std::string_view valid, std::size_t offset) {
  CHORALE_ASSERT(offset < valid.size(), "code point beyond the end");
  const CodePoint found = decode(valid, offset);
  CHORALE_ASSERT(found.bytes > 0, "text was to be checked before");
  return found;
}

CodePoint code_point_before(std::string_view valid, std::size_t offset) {
  CHORALE_ASSERT(offset > 0 && offset <= valid.size(), "code point before the beginning");
  std::size_t begin = offset - 1;
  while (begin > 0 && (byte_at(valid, begin) & 0xC0) == 0x80) {
    --begin;
  }
  return code_point_at(valid, begin);
}

void append_utf8(std::string& text, char32_t value) {
  utf8proc_uint8_t unit[4] = {};
  const utf8proc_ssize_t used = utf8proc_encode_char(static_cast<utf8proc_int32_t>(value), unit);
  CHORALE_ASSERT(used > 0, "not a Unicode scalar value");
  for (utf8proc_ssize_t i = 0; i < used; ++i) {
    text.push_back(static_cast<char>(unit[i]));
  }
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  std::size_t offset = 0;
  while (offset < bytes.size()) {
    const std::size_t used = decode(bytes, offset).bytes;
    if (used > 0) {
      text.append(bytes.substr(offset, used));
      offset += used;
    } else {
      append_utf8(text, 0xFFFD);
      offset += maximal_subpart(bytes, offset);
    }
  }
  return text;
}

}  // namespace chorale
