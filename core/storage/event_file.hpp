// TensorBoard event files: one directory is one curve of every chart.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/descriptor.hpp"
#include "core/storage/event_record.hpp"

namespace chorale {

/// Appends events to a new file of its own in a directory that may hold files of earlier runs. Readers take the files
/// of a directory in the order of their names, so the new one's name comes after all others', whatever the clock says.
class EventFile {
 public:
  /// Makes `directory` where it is missing and the file in it, `events.out.tfevents.<seconds>.<host>.<process>.0` with
  /// `ending` behind it, durably. Unless `from_step` is negative, what the directory's earlier files hold of that step
  /// and later ones is declared void. StorageError.
  explicit EventFile(const std::string& directory, std::int64_t from_step = -1, std::string_view ending = "");

  /// The scalars of one step, given to the system in one write. StorageError; what is then left of the event is no
  /// whole record, which readers pass over.
  void write(double wall_time, std::int64_t step, std::span<const EventScalar> scalars);
  /// Everything written so far is on the disk afterwards. StorageError.
  void sync();

  [[nodiscard]] const std::string& path() const { return path_; }

  /// Removes the event files of `directory` whose names have this ending. StorageError.
  static void remove(const std::string& directory, std::string_view ending);

 private:
  std::string path_;
  Descriptor file_;
  bool synced_ = false;
};

/// Seconds since 1970.
[[nodiscard]] double wall_seconds();

}  // namespace chorale
