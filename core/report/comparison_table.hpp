// Several runs in one table for a terminal.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace chorale {

/// A run's name and its metrics.json (null while it is not finished).
using NamedMetrics = std::pair<std::string, nlohmann::json>;

/// The runs' accuracy, NLL, Brier score and ECE (completions: NLL per token and perplexity) on the set they all have,
/// `test` before any other, row by row: ensemble, ensemble + temperature, members' mean, single + temperature. A run
/// without such a row has dashes, an unfinished one says so. At most 80 columns.
[[nodiscard]] std::string comparison_table(const std::vector<NamedMetrics>& runs);

}  // namespace chorale
