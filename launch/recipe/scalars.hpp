// Strict readings of a plain YAML scalar: nothing is guessed, nothing is rounded or wrapped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace chorale::recipe {

/// Decimal digits with an optional sign; no leading zeros (octal to some), no underscores; nullopt otherwise, and for
/// values outside the type.
[[nodiscard]] std::optional<std::int64_t> parse_integer(std::string_view text);
[[nodiscard]] std::optional<std::uint64_t> parse_unsigned(std::string_view text);

/// A finite decimal number such as 3, -0.5, 2.0e-4; nullopt for .inf, .nan, hexadecimal, trailing letters, overflow.
[[nodiscard]] std::optional<double> parse_number(std::string_view text);

/// true or false, nothing else (yes, no, on, off are words).
[[nodiscard]] std::optional<bool> parse_boolean(std::string_view text);

/// A byte count: digits with an optional unit B, KiB, MiB, GiB or TiB.
[[nodiscard]] std::optional<std::uint64_t> parse_bytes(std::string_view text);
/// The shortest text parse_bytes reads back to `bytes`.
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

/// What YAML itself would take plain `text` for: "a number", "true or false", or "" for text.
[[nodiscard]] std::string_view typed_look(std::string_view text);

}  // namespace chorale::recipe
