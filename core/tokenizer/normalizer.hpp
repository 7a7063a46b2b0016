// Unicode normalisation in front of everything else.
#pragma once

#include <string>
#include <string_view>

namespace chorale {

enum class Normalization { none, nfc };

/// Canonical composition (NFC) of valid UTF-8. Time is O(n log n) however long a run of combining marks gets.
[[nodiscard]] std::string to_nfc(std::string_view text);

/// `text` under `kind`.
[[nodiscard]] std::string normalize(std::string_view text, Normalization kind);

}  // namespace chorale
