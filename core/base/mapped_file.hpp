// A file seen as bytes through the page cache, so that opening gigabytes of weights costs nothing until they are used.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace chorale {

/// A read-only memory map of a regular file, unmapped on destruction.
///
/// The bytes are the file's own: shortening the file while it is mapped raises SIGBUS on access, as with every mmap.
class MappedFile {
 public:
  /// Maps the whole file. InputError when it cannot be opened, is a directory or another special file, or is empty.
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::span<const std::byte> bytes_;
};

/// Asks the kernel to read `mapped` (a part of a MappedFile) from its disk in the background.
void read_ahead(std::span<const std::byte> mapped) noexcept;

/// Drops the pages under `mapped` (a part of a MappedFile) from this process's resident memory. They come back from the
/// page cache or the file at the next access; the contents never change.
void release_pages(std::span<const std::byte> mapped) noexcept;

}  // namespace chorale
