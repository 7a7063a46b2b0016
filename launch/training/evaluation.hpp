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
#include "launch/training/run_world.hpp"

namespace chorale {

struct EvaluationResult {
  nlohmann::json datasets;               // the object `datasets` of metrics.json
  std::vector<Predictions> predictions;  // validation, test, then the shifted sets; none for completion
};

/// Runs every member over the validation, test and shifted sets, the examples of a set shared by the ranks of each
/// group, gathers all predictions on rank 0 and computes all metrics there; elsewhere the result is empty. Temperatures
/// are fitted on the validation set alone. `known_validation` (may be null, alike on all ranks): the validation set's
/// predictions by these very adapters for the group's members, if the training loop has just made them. Collective over
/// all ranks.
[[nodiscard]] EvaluationResult evaluate_sets(const Recipe& recipe, const DataSets& sets, const Decoder& decoder,
                                             const AdapterBank& bank, const Predictions* known_validation,
                                             const RunWorld& run, Progress& progress);

}  // namespace chorale
