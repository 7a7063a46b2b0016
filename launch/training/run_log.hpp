// log.jsonl and the progress display of a training run.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/training/observer.hpp"
#include "launch/progress/progress.hpp"

namespace chorale {

/// Writes one object per logging interval and member, and one per validation and member, to log.jsonl (flushed line by
/// line), and shows the same to whoever sits at the terminal. Losses and gradient norms are means over the interval.
class RunLog : public TrainingObserver {
 public:
  /// Throws StorageError when the file cannot be made.
  RunLog(const std::string& path, Progress& progress);
  ~RunLog() override;

  void start(std::int64_t total_steps);
  void finish();
  void stepped(const StepReport& report) override;
  void logged(const IntervalReport& report) override;
  void validated(const ValidationReport& report) override;
  void noted(const std::string& message, bool warning) override;

  /// Tokens of all members since start().
  [[nodiscard]] std::int64_t tokens() const { return tokens_; }

 private:
  void write(const nlohmann::json& line);

  std::string path_;
  std::FILE* file_ = nullptr;
  Progress& progress_;
  std::int64_t tokens_ = 0;
  double started_ = 0.0;
  double interval_started_ = 0.0;
};

}  // namespace chorale
