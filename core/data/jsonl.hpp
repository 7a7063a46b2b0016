// JSON lines: one object a line.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/data/records.hpp"

namespace chorale {

/// The first `limit` records (0: all) of a JSON lines file, their `id` still to be filled in. Blank lines are skipped.
/// InputError with file:line:column for what is not one object a line.
[[nodiscard]] std::vector<Record> read_jsonl(const std::string& path, std::size_t limit);

}  // namespace chorale
