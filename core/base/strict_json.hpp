// JSON from outside: duplicate keys and bottomless nesting are refused, and mistakes have a place.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace chorale {

inline constexpr std::size_t kMaxJsonDepth = 64;
/// What to do about a file somebody else wrote.
inline constexpr std::string_view kFetchAgain = "Correct it, or fetch the file again.";

/// Parses `text`, which must be one JSON value. InputError beginning with `path`:line:column (lines counted from
/// `first_line`, columns in characters) for text that is not JSON, not UTF-8, holds a number beyond double's range, a
/// key twice in one object, or more than `max_depth` nested arrays and objects, and ending with `remedy`.
[[nodiscard]] nlohmann::json parse_strict_json(std::string_view text, const std::string& path,
                                               std::size_t first_line = 1, std::size_t max_depth = kMaxJsonDepth,
                                               std::string_view remedy = kFetchAgain);

}  // namespace chorale
