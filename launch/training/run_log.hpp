// log.jsonl, the event files beside it and the progress display of a training run.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/training/observer.hpp"
#include "launch/progress/progress.hpp"
#include "launch/training/event_log.hpp"
#include "launch/training/log_file.hpp"
#include "launch/training/pace.hpp"
#include "launch/training/pooled_validation.hpp"
#include "launch/training/run_world.hpp"
#include "launch/training/stragglers.hpp"

namespace chorale {

/// Writes one object per logging interval and member, and one per validation and member, to log.jsonl and to
/// TensorBoard's event files, and shows the same to whoever sits at the terminal. Every rank has one: the ranks that
/// lead their groups take the lines down, rank 0 writes them. With one group that is at once; with several, lines wait
/// for exchange(), which puts them in the order of steps and members whoever sent them.
///
/// What is shown is of all groups. They tell each other their pace along with their lines; in between, rank 0 shows the
/// step at which the slowest group should be, from its own steps and the paces told last.
class RunLog : public TrainingObserver {
 public:
  /// On rank 0 opens log.jsonl in the run's directory for appending and new event files below its tensorboard/
  /// (StorageError). The run goes on after `steps_done`; seconds_before: what the log has counted so far.
  RunLog(const RunWorld& run, const Recipe& recipe, std::int64_t steps_done, double seconds_before, Progress& progress);

  void start(std::int64_t total_steps);
  void finish();
  /// Tokens of all groups per second since start(), validations and checkpoints included. Rank 0, after finish().
  [[nodiscard]] double tokens_per_second() const { return tokens_per_second_; }
  /// Between the steps of a group others may be waited for: that time is not its own.
  void pause();
  void proceed() { proceeded_ = Progress::steady_seconds(); }
  void stepped(const StepReport& report) override;
  void logged(const IntervalReport& report) override;
  void validated(const ValidationReport& report) override;
  void noted(const std::string& message, bool warning) override;

  /// Brings what the groups have taken down until `step` to rank 0 and writes it. Collective over all ranks.
  void exchange(std::int64_t step);
  /// Everything written is on the disk afterwards. Rank 0.
  void sync();
  /// The metrics after the last step, for TensorBoard: `datasets` of metrics.json. Rank 0. StorageError.
  void result(std::int64_t step, const nlohmann::json& datasets);

 private:
  void take_down(nlohmann::json line);
  /// Everything that waits, and every rank's pace: written, shown. Collective over all ranks.
  void meet(std::int64_t step);
  void write(const nlohmann::json& lines);
  void write_event(const nlohmann::json& line, double wall_time);
  void show(std::int64_t step, const nlohmann::json& lines);

  const RunWorld& run_;
  Progress& progress_;
  PooledValidation pooled_;
  std::optional<LogFile> file_;     // on rank 0
  std::optional<EventLog> events_;  // on rank 0
  bool goes_on_ = false;            // when the disk is full for a while
  bool events_torn_ = false;
  nlohmann::json waiting_ = nlohmann::json::array();
  double seconds_before_;
  double started_ = 0.0;
  double interval_started_ = 0.0;

  Pace pace_;              // of all groups; on rank 0
  Stragglers stragglers_;  // likewise
  double waited_ = 0.0;    // by this rank until the last meeting
  RankPace own_;           // of this rank since the last meeting
  double proceeded_ = 0.0;
  std::int64_t met_step_;
  std::optional<double> loss_;  // mean over all members, of the last interval
  double tokens_per_second_ = 0.0;
};

}  // namespace chorale
