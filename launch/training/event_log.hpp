// The training log as TensorBoard shows it: a curve per member and one of the pooled ensemble in every chart.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/storage/event_file.hpp"

namespace chorale {

/// Writes what log.jsonl is given to event files as well: of member 0 in <directory>/member_000, of the ensemble in
/// <directory>/ensemble, so that each is a run of its own to TensorBoard and all are drawn into the same charts. Tags
/// are train/<key> and validation/<key> with the log's keys, and <set>/<metric> for the result. Rank 0 alone has one.
class EventLog {
 public:
  /// For members `first_member` to `first_member` + `members` - 1. Opens a new file in every directory. What earlier
  /// files hold of steps after `steps_done` is declared void, and the result of an earlier life is removed.
  /// StorageError.
  EventLog(std::string directory, std::int64_t first_member, std::int64_t members, std::int64_t steps_done);

  /// One line of log.jsonl; `wall_time`: when it was taken down, in seconds since 1970. StorageError.
  void write(const nlohmann::json& line, double wall_time);
  /// Everything written so far is on the disk afterwards. StorageError.
  void sync();
  /// The metrics of every evaluated set but validation, `datasets` of metrics.json, at the step training ended with,
  /// durably and in files of their own: a run that goes on starts by removing them. StorageError.
  void write_result(std::int64_t step, const nlohmann::json& datasets) const;

  /// <directory>/member_000
  [[nodiscard]] static std::string member_directory(const std::string& directory, std::size_t member);

 private:
  std::string directory_;
  std::size_t first_;
  std::vector<EventFile> members_;
  EventFile ensemble_;
  std::int64_t pooled_step_ = -1;  // the last one whose pooled validation is written
};

}  // namespace chorale
