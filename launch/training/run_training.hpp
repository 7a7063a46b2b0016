// The main job: a recipe in, a run directory and a result out.
#pragma once

#include <nlohmann/json.hpp>

#include "distributed/world.hpp"
#include "launch/progress/progress.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

/// What a run leaves in metrics.json and timings.json; empty on ranks other than 0.
struct RunResult {
  nlohmann::json metrics;
  // {"seconds": {part: s}, "peak_memory_bytes": [by rank], "ranks", "threads_per_rank", "placement", "device",
  // "versions"}
  nlohmann::json timings;
};

/// Trains the recipe's ensemble over all ranks, evaluates every configured set and writes the run directory:
/// recipe.yaml, log.jsonl, checkpoints/ (the last one before the evaluation, so that its failure loses no training),
/// predictions.h5, report.html, timings.json, and metrics.json last. With `resume` a run that is there already goes on
/// from its newest valid checkpoint, from the beginning without one, to its evaluation when training was complete, and
/// nowhere when all was. `threads`: that each rank computes with. Collective.
[[nodiscard]] RunResult run_training(const Recipe& recipe, bool resume, int threads, World& world, Progress& progress);

}  // namespace chorale
