// The main job: a recipe in, a run directory and a result out.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "launch/progress/progress.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

/// Trains the recipe's ensemble, evaluates every configured set and writes the run directory: recipe.yaml, log.jsonl,
/// the final adapters in checkpoints/ (before the evaluation, so that its failure loses no training), predictions.h5,
/// and metrics.json last. Returns what metrics.json holds.
[[nodiscard]] nlohmann::json run_training(const Recipe& recipe, Progress& progress);

}  // namespace chorale
