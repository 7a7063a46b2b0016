// UTF-8: is it valid, where is it not, and one code point after another.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace chorale {

/// Offset in bytes of the first byte that does not begin a well-formed UTF-8 sequence (overlong forms, surrogates and
/// values above U+10FFFF are not well formed); nothing when `text` is valid.
[[nodiscard]] std::optional<std::size_t> first_invalid_utf8(std::string_view text);

/// Throws InputError "<what> is not valid UTF-8: byte 0x.. at offset N" unless `text` is valid.
void require_utf8(std::string_view text, std::string_view what);

/// A code point and the number of bytes it takes.
struct CodePoint {
  char32_t value;
  std::size_t bytes;
};

/// The code point that begins at `offset` of valid UTF-8; `offset` must be at a code point and below the end.
[[nodiscard]] CodePoint code_point_at(std::string_view valid, std::size_t offset);

/// The code point that ends just before `offset` of valid UTF-8; `offset` must be above 0.
[[nodiscard]] CodePoint code_point_before(std::string_view valid, std::size_t offset);

/// Appends `value`, a Unicode scalar value.
void append_utf8(std::string& text, char32_t value);

/// `bytes` with every maximal ill-formed part replaced by U+FFFD (Unicode 15, section 3.9, "U+FFFD substitution of
/// maximal subparts"), which is what Rust's and Python's lossy decoders do.
[[nodiscard]] std::string replace_invalid_utf8(std::string_view bytes);

}  // namespace chorale
