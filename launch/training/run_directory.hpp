// The directory a run writes its results to.
#pragma once

#include <string>
#include <string_view>

namespace chorale {

/// A directory of one run: new, or with `resume` one that a run has begun in. The lock (core/storage/run_lock.hpp) does
/// not count as content, nor does a recipe.yaml that a killed run has not finished.
class RunDirectory {
 public:
  /// Creates `path`, or takes it when it is there and empty. One that holds anything is refused with UsageError unless
  /// `resume` is set and it is a run's: with a recipe.yaml or checkpoints. Nothing in it is changed. StorageError when
  /// it cannot be made or written.
  explicit RunDirectory(std::string path, bool resume = false);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

  /// Removes the unfinished files (NAME.<process>.tmp) that killed runs have left beside the results. The caller holds
  /// the run's lock. StorageError.
  void remove_unfinished() const;

 private:
  std::string path_;
};

}  // namespace chorale
