#include "core/base/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

std::string remedy(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return "Free some space or choose another output directory, then start again.";
    case EACCES:
    case EPERM:
    case EROFS:
      return "Make the directory writable or choose another output directory.";
    case ENOENT:
      return "Create the directory first, or check the path.";
    case EFBIG:
      return "Raise the file size limit (ulimit -f) or choose another file system.";
    case EISDIR:
    case ENOTDIR:
      return "Choose a path that is not in use by something else.";
    default:
      return "Check the file system and choose another output directory if it stays.";
  }
}

// A file descriptor that is closed on every way out.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (value_ >= 0) {
      ::close(value_);
    }
  }
  [[nodiscard]] int get() const { return value_; }
  // Network file systems report a failed write as late as here, so closing is checked.
  int close() { return ::close(std::exchange(value_, -1)); }

 private:
  int value_;
};

// 0, or the errno of the first step that failed.
int write_whole(const Descriptor& file, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(file.get(), content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return errno;
    }
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

int write_and_close(Descriptor& file, std::initializer_list<std::string_view> pieces) {
  for (const std::string_view piece : pieces) {
    if (const int failure = write_whole(file, piece); failure != 0) {
      return failure;
    }
  }
  return file.close() == 0 ? 0 : errno;
}

int sync_path(const std::string& path, int flags) {
  Descriptor file(::open(path.c_str(), flags | O_CLOEXEC));
  if (file.get() < 0) {
    return errno;
  }
  // Some network file systems cannot sync a directory and say EINVAL; the rename is as durable there as it gets.
  if (::fsync(file.get()) != 0 && !(errno == EINVAL && (flags & O_DIRECTORY) != 0)) {
    return errno;
  }
  return 0;
}

std::string directory_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

void throw_storage_error(const std::string& action, const std::string& path, int error_number) {
  throw StorageError(fmt::format("cannot {} {}: {}. {}", action, path, std::generic_category().message(error_number),
                                 remedy(error_number)));
}

std::string unfinished_path(const std::string& path) {
  return fmt::format("{}.{}.tmp", path, ::getpid());
}

void sync_directory(const std::string& directory) {
  if (const int failure = sync_path(directory, O_RDONLY | O_DIRECTORY); failure != 0) {
    throw_storage_error("sync the directory", directory, failure);
  }
}

void commit_file(const std::string& unfinished, const std::string& path) {
  int failure = sync_path(unfinished, O_RDONLY);
  if (failure == 0 && std::rename(unfinished.c_str(), path.c_str()) != 0) {
    failure = errno;
  }
  if (failure != 0) {
    ::unlink(unfinished.c_str());
    throw_storage_error("write", path, failure);
  }
  sync_directory(directory_of(path));
}

void write_file_atomically(const std::string& path, std::string_view content) {
  write_file_atomically(path, {content});
}

void write_file_atomically(const std::string& path, std::initializer_list<std::string_view> pieces) {
  const std::string unfinished = unfinished_path(path);
  Descriptor file(::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (file.get() < 0) {
    throw_storage_error("write", path, errno);
  }
  if (const int failure = write_and_close(file, pieces); failure != 0) {
    ::unlink(unfinished.c_str());
    throw_storage_error("write", path, failure);
  }
  commit_file(unfinished, path);
}

}  // namespace chorale
