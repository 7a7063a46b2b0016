// One process at a time writes a run directory.
#pragma once

#include <string>

#include "core/base/descriptor.hpp"

namespace chorale {

/// Holds RUN/.lock from construction to destruction. The kernel's lock on the file decides (flock: it goes with the
/// process, however that ends, and not to programs started by it); the text in it, "host H, process P, since TIME", is
/// for people and for file systems that know no locks. With several ranks rank 0 alone takes it, before anything in the
/// directory is changed.
class RunLock {
 public:
  /// UsageError naming directory, host and process when another one holds it; StorageError when the file cannot be
  /// made. A lock left by a process that is no more is taken over. Where the file system has no locks the text decides:
  /// that of a live process on this host, of another host, or one cut short is refused with the remedy; two starts at
  /// the very same moment are not told apart there.
  explicit RunLock(const std::string& run_directory);
  RunLock(RunLock&& other) noexcept = default;
  RunLock& operator=(RunLock&& other) = delete;
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  /// Empties the file: the run ended in order.
  ~RunLock();

  /// Something to log about how the lock was come by; empty when there is nothing to say.
  [[nodiscard]] const std::string& note() const { return note_; }

 private:
  std::string path_;
  Descriptor file_;
  std::string note_;
};

/// The lock's name in a run directory.
inline constexpr const char* kRunLockName = ".lock";

}  // namespace chorale
