// The descriptions of files, laid out for reading.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace chorale {

/// `description` as `chorale inspect --format json` prints it (its `kind` says of what), as text of at most
/// `columns` (at least 80) but for names that are longer by themselves.
[[nodiscard]] std::string inspect_table(const nlohmann::ordered_json& description, std::size_t columns);

/// "model.layers.12.mlp" -> "model.layers.*.mlp": the layers of a model are alike and belong on one line.
[[nodiscard]] std::string layer_pattern(const std::string& name);

/// Equal rows on one line with their number, in the order of their first appearance.
[[nodiscard]] std::string counted(const std::vector<std::vector<std::string>>& rows);

}  // namespace chorale
