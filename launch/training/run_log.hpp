// log.jsonl and the progress display of a training run.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/training/observer.hpp"
#include "launch/progress/progress.hpp"
#include "launch/training/log_file.hpp"
#include "launch/training/pooled_validation.hpp"
#include "launch/training/run_world.hpp"

namespace chorale {

/// Writes one object per logging interval and member, and one per validation and member, to log.jsonl, and shows the
/// same to whoever sits at the terminal. Every rank has one: the ranks that lead their groups take the lines down, rank
/// 0 writes them. With one group that is at once; with several, lines wait for exchange(), which puts them in the order
/// of steps and members whoever sent them.
class RunLog : public TrainingObserver {
 public:
  /// On rank 0 opens the log at `path` for appending (StorageError). seconds_before: what the log has counted so far.
  RunLog(const RunWorld& run, const Recipe& recipe, const std::string& path, double seconds_before, Progress& progress);

  void start(std::int64_t steps_done, std::int64_t total_steps);
  void finish();
  void stepped(const StepReport& report) override;
  void logged(const IntervalReport& report) override;
  void validated(const ValidationReport& report) override;
  void noted(const std::string& message, bool warning) override;

  /// Brings what the groups have taken down to rank 0 and writes it. Collective over all ranks.
  void exchange();
  /// Everything written is on the disk afterwards. Rank 0.
  void sync();

 private:
  void take_down(nlohmann::json line);
  void write(const nlohmann::json& lines);

  const RunWorld& run_;
  Progress& progress_;
  PooledValidation pooled_;
  std::optional<LogFile> file_;  // on rank 0
  nlohmann::json waiting_ = nlohmann::json::array();
  std::int64_t tokens_ = 0;
  double seconds_before_;
  double started_ = 0.0;
  double interval_started_ = 0.0;
};

}  // namespace chorale
