// The lines of a training log as values: in which order they stand, and those of several logs in one.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

namespace chorale {

/// Steps in order; at one step the interval before the validation, and what is to be said last; members in order.
[[nodiscard]] std::tuple<std::int64_t, int, std::int64_t> place_of(const nlohmann::json& line);

/// The lines of log.jsonl at `path` that are about a member, none when there is no file; without what was said of the
/// ensemble that the members then were. InputError with path:line for what is no JSON.
[[nodiscard]] std::vector<nlohmann::json> member_lines(const std::string& path);

/// Those lines as a file's content, in order.
[[nodiscard]] std::string log_text(std::vector<nlohmann::json> lines);

}  // namespace chorale
