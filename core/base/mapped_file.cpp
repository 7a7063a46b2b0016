#include "core/base/mapped_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

class Descriptor {
 public:
  // O_NONBLOCK: opening a named pipe must fail with a message, not wait for a writer.
  explicit Descriptor(const std::string& path) : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (value_ < 0) {
      throw InputError(
          fmt::format("{}: cannot be opened: {}. Check the path and its permissions.", path, std::strerror(errno)));
    }
  }
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int value() const { return value_; }

 private:
  int value_;
};

std::size_t regular_file_size(const Descriptor& descriptor, const std::string& path) {
  struct stat status {};
  if (::fstat(descriptor.value(), &status) != 0) {
    throw InputError(
        fmt::format("{}: cannot be examined: {}. Check the path and the disk.", path, std::strerror(errno)));
  }
  if (S_ISDIR(status.st_mode)) {
    throw InputError(fmt::format("{}: is a directory where a file is expected. Name the file inside it.", path));
  }
  if (!S_ISREG(status.st_mode)) {
    throw InputError(fmt::format("{}: is not a regular file. Copy its contents to a file first.", path));
  }
  if (status.st_size <= 0) {
    throw InputError(fmt::format("{}: is empty. An interrupted download or copy? Fetch it again.", path));
  }
  return static_cast<std::size_t>(status.st_size);
}

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  const Descriptor descriptor(path_);
  const std::size_t size = regular_file_size(descriptor, path_);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.value(), 0);
  if (address == MAP_FAILED) {
    throw InputError(fmt::format("{}: cannot be mapped into memory ({} bytes): {}. Raise ulimit -v, or free memory.",
                                 path_, size, std::strerror(errno)));
  }
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) {
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

namespace {

// On the whole pages around a range: they belong to the same read-only map, so that a neighbour's bytes come to no
// harm.
void advise(std::span<const std::byte> mapped, int advice) noexcept {
  if (mapped.empty()) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(mapped.data());
  const std::uintptr_t begin = first / page * page;
  const std::uintptr_t end = (first + mapped.size() + page - 1) / page * page;
  ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

}  // namespace

void read_ahead(std::span<const std::byte> mapped) noexcept {
  advise(mapped, MADV_WILLNEED);
}

void release_pages(std::span<const std::byte> mapped) noexcept {
  advise(mapped, MADV_DONTNEED);
}

}  // namespace chorale
