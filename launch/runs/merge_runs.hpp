// Independent runs made into a run of all their members.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "distributed/world.hpp"
#include "launch/progress/progress.hpp"

namespace chorale {

/// Writes the run directory `output`, new or empty: recipe.yaml, the checkpoint with all members, log.jsonl,
/// predictions.h5, merged.json and, last, metrics.json. Multiple choice is evaluated from the runs' predictions,
/// without the base; a completion's metrics come from the model, which all ranks share. Returns metrics.json, on rank
/// 0. Collective. UsageError (see merge_parts.hpp), InputError, StorageError.
[[nodiscard]] nlohmann::json merge_runs(const std::vector<std::string>& runs, const std::string& output, World& world,
                                        Progress& progress);

}  // namespace chorale
