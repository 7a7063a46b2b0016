// One evaluated set as the report draws it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "core/calibration/evaluation_config.hpp"
#include "core/ensemble/prediction_table.hpp"

namespace chorale {

/// Resamples behind the bands of a reliability diagram, and fewer for large sets, where more would take long and show
/// nothing new: about 2e8 draws of one member's answer in all, never fewer than 100.
[[nodiscard]] std::size_t band_draws(const EvaluationConfig& config, const PredictionTable& table);

/// The object the page has for one set:
///   reliability   {members_mean, ensemble, single_temperature_scaled, ensemble_temperature_scaled}, each a list of
///   bins
///                 {low, high, count, confidence, accuracy, gap, band: [low, high] or null}; empty bins are left out.
///                 Without labels not there; scaled rows only with a `validation` set (may be null)
///   members       [{members, subsets, all, accuracy, nll, brier, ece: [mean, standard deviation]}]; not without labels
///   disagreement  [M][M], core/calibration/pairs.hpp
[[nodiscard]] nlohmann::json report_set(const PredictionTable& table, const PredictionTable* validation,
                                        const EvaluationConfig& config, std::uint64_t seed);

}  // namespace chorale
