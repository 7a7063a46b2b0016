// The checkpoints of one run, written and read by all its ranks together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/training/checkpoint.hpp"
#include "core/training/trainer.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/base_fingerprint.hpp"
#include "launch/training/run_log.hpp"
#include "launch/training/run_world.hpp"

namespace chorale {

/// What rank 0 found to go on from; the same on every rank.
struct ResumePoint {
  std::int64_t step = 0;           // 0: from the beginning
  std::vector<std::string> files;  // of the checkpoint's groups; empty when there is none
};

/// The newest valid checkpoint below `checkpoints`, damaged newer ones set aside with a warning each. Rank 0 looks, all
/// are told. Collective. StorageError.
[[nodiscard]] ResumePoint find_resume_point(const RunWorld& run, const std::string& checkpoints);

/// Writes checkpoints. All methods are collective over all ranks.
class RunCheckpoints {
 public:
  /// The labels' fingerprint is filled in when it is needed. What is referred to must outlive this.
  RunCheckpoints(const RunWorld& run, std::string directory, CheckpointLabels labels, BaseFingerprint& fingerprint,
                 CheckpointConfig config, RunLog& log);

  /// Commits <directory>/step_<steps done>: each group's first rank writes its file, then rank 0 the manifest; older
  /// ones go. The log is on the disk before. StorageError on all ranks, with the earlier checkpoints as they were.
  void save(const AdapterBank& bank, Trainer& trainer);
  /// The same for a checkpoint that later ones make up for: with checkpoint.on_failure = continue a StorageError is a
  /// warning, and what was written of it is removed.
  void save_periodically(const AdapterBank& bank, Trainer& trainer);
  /// True when a checkpoint is due after `step` steps, because of their number or because `time_is_over`, and this step
  /// has none yet.
  [[nodiscard]] bool is_due(std::int64_t step, bool time_is_over) const;
  /// True when the last checkpoint is that of `step`.
  [[nodiscard]] bool has(std::int64_t step) const { return last_ == step; }
  /// Seconds between checkpoints, if the recipe says so.
  [[nodiscard]] std::optional<double> every_seconds() const;
  /// Training goes on from the checkpoint of this step: it is not written again, and what the killed run would have
  /// purged goes now.
  void goes_on_from(std::int64_t step);

 private:
  void purge() const;

  const RunWorld& run_;
  std::string directory_;
  CheckpointLabels labels_;
  BaseFingerprint& fingerprint_;
  CheckpointConfig config_;
  RunLog& log_;
  std::int64_t last_ = 0;
};

}  // namespace chorale
