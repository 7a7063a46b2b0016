// The descriptions of files, laid out for reading.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

namespace chorale {

/// `description` as `chorale inspect --format json` prints it (its `kind` says of what), as text of at most
/// `columns` (at least 80) but for names that are longer by themselves.
[[nodiscard]] std::string inspect_table(const nlohmann::ordered_json& description, std::size_t columns);

}  // namespace chorale
