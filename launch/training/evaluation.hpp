// After training: predictions and metrics of every configured set.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/ensemble/predictions.hpp"
#include "core/model/decoder.hpp"
#include "launch/progress/progress.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/data_sets.hpp"

namespace chorale {

struct EvaluationResult {
  nlohmann::json datasets;               // the object `datasets` of metrics.json
  std::vector<Predictions> predictions;  // validation, test, then the shifted sets; none for completion
};

/// Runs every member over the validation, test and shifted sets and computes all metrics. Temperatures are fitted on
/// the validation set alone. `known_validation` (may be null): the validation set's predictions by these very adapters,
/// if the training loop has just made them.
[[nodiscard]] EvaluationResult evaluate_sets(const Recipe& recipe, const DataSets& sets, const Decoder& decoder,
                                             const AdapterBank& bank, const Predictions* known_validation,
                                             Progress& progress);

}  // namespace chorale
