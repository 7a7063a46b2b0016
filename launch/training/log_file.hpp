// log.jsonl as a file: lines that are complete or absent, and one that ends where a checkpoint was made.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/base/descriptor.hpp"

namespace chorale {

/// Appends to a log. Rank 0 alone has one.
class LogFile {
 public:
  /// What a line that cannot be written means: the end, or a warning and another try with the next line and in sync().
  enum class OnFailure { stop, keep };

  /// Opens `path` for appending, or makes it. StorageError.
  explicit LogFile(std::string path, OnFailure on_failure = OnFailure::stop);

  /// One line, given to the system in one write. StorageError (with OnFailure::stop); a part of the line may then be
  /// there, which cut_after() removes.
  void write(const nlohmann::json& line);
  /// Everything written so far is on the disk afterwards: called before a checkpoint is committed, so that no resumed
  /// run lacks lines from before its checkpoint. StorageError.
  void sync();

  /// Makes the log at `path` end where step `step` left it: atomically drops every line of a later step, and a last
  /// line that was cut short. Returns the largest `seconds` of the kept lines, 0 when there is none or no file. To be
  /// called before the log is opened. InputError with path:line for a line that is no object with a `step`;
  /// StorageError.
  static double cut_after(const std::string& path, std::int64_t step);

 private:
  [[nodiscard]] int write_waiting();

  std::string path_;
  OnFailure on_failure_;
  Descriptor file_;
  std::string waiting_;                 // lines the system has not taken yet
  std::optional<std::uint64_t> whole_;  // while lines wait: length of the file up to the last one it has taken
};

}  // namespace chorale
