// The result in a few sentences.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace chorale {

/// Sentences that say what came out on the set `name`, the weightiest first, from `dataset`, the object
/// `datasets.<name>` of metrics.json: the ensemble against a member alone with intervals where there are any, then
/// calibration, then what temperature scaling adds. Without labels: how unsure the ensemble is.
[[nodiscard]] std::vector<std::string> report_headline(const std::string& name, const nlohmann::json& dataset);

}  // namespace chorale
