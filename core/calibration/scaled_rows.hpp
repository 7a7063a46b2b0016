// The two temperature-scaled rows of a result: each member with a temperature of its own, the ensemble with one.
#pragma once

#include <optional>
#include <vector>

#include "core/ensemble/prediction_table.hpp"

namespace chorale {

struct ScaledRows {
  std::vector<double> member_temperatures;
  double ensemble_temperature = 1.0;
  std::vector<LogRows> members;
  LogRows ensemble;
};

/// `predictions`, and `pooled` (their arithmetic pool), scaled by the temperatures that fit `validation` best. Nothing
/// when no temperature can be fitted: no labelled example whose label has a probability. InputError when the two differ
/// in their number of members.
[[nodiscard]] std::optional<ScaledRows> scaled_rows(const PredictionTable& validation,
                                                    const PredictionTable& predictions, const LogRows& pooled);

}  // namespace chorale
