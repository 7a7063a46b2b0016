// The result of a run as a person reads it on a terminal. Both functions take what metrics.json holds.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/report/table.hpp"

namespace chorale {

/// The rows that matter (members' mean, single + temperature, ensemble, ensemble + temperature) by accuracy, NLL, Brier
/// and ECE with the change against the members' mean in per cent and 95 % intervals below, then temperatures,
/// uncertainty and disagreement. `dataset` is the object `datasets.<name>`. Rows and lines whose numbers are missing
/// (no validation set, one model, no labels, no bootstrap) are left out. A completion set has NLL per token and
/// perplexity of the members' mean and the ensemble. At most kTerminalColumns.
[[nodiscard]] std::string result_table(const nlohmann::json& dataset, bool colour);

/// Uncertainty of `test` and of every set with `detection`, and how well each score tells that set from `test` (AUROC
/// of the ensemble, of the members' mean in brackets). `datasets` is the object `datasets`. Empty when no set has
/// `detection`. At most `columns`, which are at least kTerminalColumns: names are cut to what the numbers leave.
[[nodiscard]] std::string shifted_table(const nlohmann::json& datasets, std::size_t columns = kTerminalColumns);

}  // namespace chorale
