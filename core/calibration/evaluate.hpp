// From predictions to the object metrics.json holds for one data set.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "core/calibration/evaluation_config.hpp"
#include "core/ensemble/predictions.hpp"

namespace chorale {

/// All metrics of one set, as the object `datasets.<name>` of metrics.json (see README.md of this folder for every key
/// and its definition). Everything is computed in float64 from the log-probabilities, members in order, so equal
/// predictions give equal bits. `validation` (may be null): the set temperatures are fitted on; without it, or with
/// config.temperature off, the temperature-scaled rows are left out. Rows with label -1 count for uncertainty only;
/// with no labelled row there are no accuracy, NLL, ... keys. `seed` drives the bootstrap alone.
[[nodiscard]] nlohmann::json evaluate_predictions(const Predictions& predictions, const Predictions* validation,
                                                  const EvaluationConfig& config, std::uint64_t seed);

/// Out-of-distribution detection of `shifted` (positive class) against `test`, the object
/// `datasets.<name>.detection`: {ensemble, members_mean}.auroc.{entropy, mutual_information, max_probability}.
[[nodiscard]] nlohmann::json evaluate_detection(const Predictions& test, const Predictions& shifted);

/// Metrics of a completion set: nll (nats per token), perplexity, tokens; for the ensemble (mean next-token
/// distribution), members.{mean, std, each}.
[[nodiscard]] nlohmann::json evaluate_tokens(const TokenPredictions& predictions);

}  // namespace chorale
