// From a run to what its report is made of.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/report/report_run.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/results/run_reader.hpp"

namespace chorale {

/// The run in the recipe's output directory, with the result it has or is about to have; `recipe_text` is its resolved
/// YAML.
[[nodiscard]] ReportRun report_run(const Recipe& recipe, const std::string& recipe_text, nlohmann::json metrics,
                                   nlohmann::json timings);

/// The run in a directory. An unfinished one has no metrics. InputError for a timings.json that is damaged.
[[nodiscard]] ReportRun report_run(const RunReader& reader);

}  // namespace chorale
