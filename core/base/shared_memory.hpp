// Memory that processes of one machine have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "core/base/descriptor.hpp"
#include "core/base/mapped_memory.hpp"

namespace chorale {

/// Zeros that take no room until somebody writes there, and none at all when the last process that knows them has
/// ended, however it ended: they lie in no file system (memfd_create, Linux), so that neither a small /dev/shm limits
/// them nor a killed program leaves them behind. Only processes of the same user can reach them.
class SharedMemory {
 public:
  /// A new one. Nothing where the system gives none.
  [[nodiscard]] static std::optional<SharedMemory> create();
  /// The one whose owner, still alive, says it is at `address`. Nothing where it cannot be reached from here, as from a
  /// container with processes of its own.
  [[nodiscard]] static std::optional<SharedMemory> open(const std::string& address);

  /// What open() wants, for as long as this object lives.
  [[nodiscard]] std::string address() const;
  /// `bytes` (> 0) from `offset` on, a multiple of alignment(bytes). Throws std::bad_alloc where there is no room for
  /// them among this process's addresses.
  [[nodiscard]] MappedMemory map(std::uint64_t offset, std::size_t bytes) const;
  /// A page, or a huge page for what fills some.
  [[nodiscard]] static std::uint64_t alignment(std::size_t bytes);

 private:
  explicit SharedMemory(Descriptor file) : file_(std::move(file)) {}

  Descriptor file_;
};

}  // namespace chorale
