// evaluate.hpp on float64 tables, for predictions that did not come from our own float32 arrays.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "core/calibration/evaluation_config.hpp"
#include "core/ensemble/prediction_table.hpp"

namespace chorale {

/// As evaluate_predictions in evaluate.hpp. Throws InputError when `validation` has another number of members.
[[nodiscard]] nlohmann::json evaluate_table(const PredictionTable& predictions, const PredictionTable* validation,
                                            const EvaluationConfig& config, std::uint64_t seed);

/// As evaluate_detection in evaluate.hpp. Throws InputError when the two sets differ in their number of members.
[[nodiscard]] nlohmann::json detect_table(const PredictionTable& test, const PredictionTable& shifted);

}  // namespace chorale
