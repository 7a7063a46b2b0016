// Evaluation of an ensemble that is there already.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "distributed/world.hpp"
#include "launch/progress/progress.hpp"
#include "launch/runs/ensemble_source.hpp"

namespace chorale {

struct EvaluationRequest {
  EnsembleOptions ensemble;
  std::string data;  // a file; empty: the recipe's own sets
  std::string name;  // of `data`; empty: its file name without the ending
  std::size_t limit = 0;
  bool unlabelled = false;
  std::string output;  // a directory; empty: a finished run itself, nothing otherwise
};

struct EvaluationOutcome {
  nlohmann::json datasets;  // of what was evaluated, as in metrics.json; on rank 0
  std::string written_to;   // a directory, or nothing
};

/// Predictions and metrics of the recipe's validation, test and shifted sets, or of one other file. The other file's
/// temperatures come from the run's validation set and its detection compares with the run's test set, both as stored
/// in a finished run; otherwise the validation set is predicted along with it, and detection left out. predictions.h5
/// is written first, metrics.json last, each whole or not at all. Collective. UsageError, InputError, StorageError.
[[nodiscard]] EvaluationOutcome evaluate_ensemble(const EvaluationRequest& request, World& world, Progress& progress);

}  // namespace chorale
