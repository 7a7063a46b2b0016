// Rank 0's side of a run directory: who may enter it, what is in it, and what is written last.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/ensemble/predictions.hpp"
#include "core/storage/run_lock.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/run_directory.hpp"
#include "launch/training/run_training.hpp"

namespace chorale {

/// Holds the directory's lock as long as it lives. On rank 0 alone.
class RunFiles {
 public:
  /// Enters the recipe's output directory. UsageError when it holds a run and `resume` is off, when it is no run, when
  /// another process holds it, or when the recipe changes what a resumed run must keep. StorageError.
  RunFiles(const Recipe& recipe, bool resume);

  [[nodiscard]] std::string file(const std::string& name) const { return directory_.file(name); }
  /// The result of a run that needs nothing any more: metrics.json is there and the recipe asks for nothing new.
  [[nodiscard]] const std::optional<RunResult>& finished() const { return finished_; }

  /// Before training goes on: recipe.yaml as it is now, no metrics of an earlier life, and a log that ends at `step`.
  /// Returns the seconds the log has counted so far.
  [[nodiscard]] double begin(const Recipe& recipe, std::int64_t step) const;
  /// predictions.h5 (removed where there are none any more), report.html, timings.json, then metrics.json.
  void finish(const Recipe& recipe, const std::vector<Predictions>& predictions, const RunResult& result) const;
  /// The run is none that is finished from here on, for what was measured of it is about to be of another one.
  void remove_metrics() const;

 private:
  void remove(const std::string& path) const;

  RunDirectory directory_;
  RunLock lock_;
  std::optional<RunResult> finished_;
};

}  // namespace chorale
