// The 256 printable characters that stand for bytes in a byte-level vocabulary.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace chorale {

/// Character of each byte, as UTF-8. GPT-2's rule: the printable bytes 21-7E, A1-AC and AE-FF (hexadecimal) stand for
/// themselves as Latin-1 characters; the other 68, in ascending order, are U+0100 and following.
[[nodiscard]] const std::array<std::string, 256>& byte_characters();

/// `bytes` in the stored form, one character a byte.
[[nodiscard]] std::string to_byte_characters(std::string_view bytes);

/// The bytes that `stored` (valid UTF-8) stands for; nothing when one of its characters is not in the alphabet.
[[nodiscard]] std::optional<std::string> from_byte_characters(std::string_view stored);

}  // namespace chorale
