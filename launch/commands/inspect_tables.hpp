// The descriptions of files, laid out for reading.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace chorale {

/// `description` as `chorale inspect --format json` prints it (its `kind` says of what), as text of at most 100
/// columns.
[[nodiscard]] std::string inspect_table(const nlohmann::ordered_json& description);

}  // namespace chorale
