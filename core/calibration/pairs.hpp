// Member against member: which of them choose alike.
#pragma once

#include <vector>

#include "core/ensemble/prediction_table.hpp"

namespace chorale {

/// [M][M]: share of the examples for which the most probable choices of two members differ (ties go to the lowest
/// index). Symmetric, 0 on the diagonal; its mean over distinct pairs is `disagreement` of metrics.json. Needs an
/// example.
[[nodiscard]] std::vector<std::vector<double>> pairwise_disagreement(const PredictionTable& table);

}  // namespace chorale
