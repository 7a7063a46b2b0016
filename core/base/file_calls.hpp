// The system calls that change files, checked and each with a fault point (fault_point.hpp) before it. All return 0 or
// the errno of what failed, so that callers decide between an exception, a warning and another way.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/descriptor.hpp"

namespace chorale::file_calls {

/// Opens for writing and closes on exec; `flags` are added to O_WRONLY | O_CLOEXEC | O_NOFOLLOW (O_RDWR replaces
/// O_WRONLY). An interrupted call is made again, here and below.
[[nodiscard]] int open(const std::string& path, int flags, Descriptor& file);
/// All of `content`; `path` is for the fault point.
[[nodiscard]] int write(const Descriptor& file, std::string_view content, const std::string& path);
/// Cuts the file off after `length` bytes.
[[nodiscard]] int truncate(const Descriptor& file, const std::string& path, std::uint64_t length = 0);
[[nodiscard]] int sync(const Descriptor& file, const std::string& path);
/// Opens and syncs a finished file, or a directory: then what was created, renamed or removed in it is durable.
[[nodiscard]] int sync_file(const std::string& path);
[[nodiscard]] int sync_directory(const std::string& path);

[[nodiscard]] int rename(const std::string& from, const std::string& to);
/// Swaps two names at one stroke; EINVAL or ENOSYS where the file system cannot.
[[nodiscard]] int exchange(const std::string& one, const std::string& other);
[[nodiscard]] int unlink(const std::string& path);
/// A directory or file with everything in it; links are removed, not followed. Nothing there is success.
[[nodiscard]] int remove_tree(const std::string& path);
/// Every missing directory of `path`, each durable in its parent.
[[nodiscard]] int make_directories(const std::string& path);

/// flock(LOCK_EX | LOCK_NB): EWOULDBLOCK when another open file holds it.
[[nodiscard]] int lock(const Descriptor& file, const std::string& path);

}  // namespace chorale::file_calls
