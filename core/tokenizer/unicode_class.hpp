// The two classes of characters that tokenizers ask about outside of a pattern.
#pragma once

namespace chorale {

/// General category Nd, Nl or No: digits of every script, Roman numerals, fractions.
[[nodiscard]] bool is_numeric(char32_t value);
/// Unicode's White_Space property.
[[nodiscard]] bool is_white_space(char32_t value);

}  // namespace chorale
