#include "core/base/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/base/descriptor.hpp"
#include "core/base/errors.hpp"
#include "core/base/file_calls.hpp"

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

// Everything up to the rename; 0, or the errno of the first step that failed.
int write_finished(const std::string& path, std::initializer_list<std::string_view> pieces) {
  Descriptor file;
  if (const int failure = file_calls::open(path, O_CREAT | O_TRUNC, file); failure != 0) return failure;
  for (const std::string_view piece : pieces) {
    if (const int failure = file_calls::write(file, piece, path); failure != 0) return failure;
  }
  // Before closing: an error of writing back is reported to those who have the file open.
  if (const int failure = file_calls::sync(file, path); failure != 0) return failure;
  return file.close() == 0 ? 0 : errno;
}

// The last steps for a file whose own bytes are safe, or the end of one that failed.
void finish(const std::string& unfinished, const std::string& path, int failure) {
  if (failure == 0) failure = file_calls::rename(unfinished, path);
  if (failure != 0) {
    static_cast<void>(file_calls::unlink(unfinished));  // the first failure is the one to report
    throw_storage_error("write", path, failure);
  }
  const std::string parent = std::filesystem::path(path).parent_path().string();
  sync_directory(parent.empty() ? "." : parent);
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
  if (const int failure = file_calls::sync_directory(directory); failure != 0) {
    throw_storage_error("sync the directory", directory, failure);
  }
}

void make_directories(const std::string& path) {
  if (const int failure = file_calls::make_directories(path); failure != 0)
    throw_storage_error("create", path, failure);
}

void commit_file(const std::string& unfinished, const std::string& path) {
  finish(unfinished, path, file_calls::sync_file(unfinished));
}

void write_file_atomically(const std::string& path, std::string_view content) {
  write_file_atomically(path, {content});
}

void write_file_atomically(const std::string& path, std::initializer_list<std::string_view> pieces) {
  const std::string unfinished = unfinished_path(path);
  finish(unfinished, path, write_finished(unfinished, pieces));
}

}  // namespace chorale
