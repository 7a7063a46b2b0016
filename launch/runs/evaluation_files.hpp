// Where an evaluation leaves its results.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/ensemble/predictions.hpp"
#include "core/storage/run_lock.hpp"
#include "launch/runs/ensemble_source.hpp"

namespace chorale {

/// On rank 0 alone, made before anything is computed, so that a wrong place shows at once.
class EvaluationFiles {
 public:
  /// `output`: a directory that holds no results yet, made when it is not there. Empty: a finished run itself, whose
  /// lock is then held; nowhere for a run that is not finished and for adapters of other tools. UsageError when the
  /// place will not do or another process writes into the run; StorageError.
  EvaluationFiles(const std::string& output, const EnsembleSource& source);

  /// predictions.h5, then metrics.json. In a run sets of the same name are replaced and all others kept, and
  /// report.html is made anew. Returns the directory, or nothing when there is none to write to. StorageError.
  std::string write(const EnsembleSource& source, const std::string& base_fingerprint,
                    const std::vector<Predictions>& predictions, const nlohmann::json& datasets) const;

 private:
  std::string directory_;
  bool into_run_ = false;
  std::optional<RunLock> lock_;
};

}  // namespace chorale
