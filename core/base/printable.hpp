// Text from files, made safe to stand in a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace chorale {

/// `text` with control characters and backslashes escaped (\n, \x1b, ...) and cut to `limit` bytes with "..." behind,
/// so that a hostile name can neither move the terminal's cursor nor flood the screen. Multi-byte UTF-8 is kept when
/// valid and escaped byte by byte otherwise.
[[nodiscard]] std::string printable(std::string_view text, std::size_t limit = 80);

}  // namespace chorale
