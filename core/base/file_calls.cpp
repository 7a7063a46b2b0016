#include "core/base/file_calls.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/fault_point.hpp"

namespace chorale::file_calls {
namespace {

namespace fs = std::filesystem;

// `call` until it is not interrupted; 0 or its errno.
template <typename Call>
int result_of(Call call) {
  for (;;) {
    if (call() >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

template <typename Call>
int guarded(const char* operation, const std::string& path, Call call) {
  if (const int injected = fault_point(operation, path); injected != 0) return injected;
  return result_of(call);
}

int open_existing(const std::string& path, int flags, Descriptor& file) {
  return result_of([&] {
    file = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags));
    return file.get();
  });
}

int write_plainly(const Descriptor& file, std::string_view content) {
  while (!content.empty()) {
    ssize_t written = 0;
    const int failure = result_of([&] { return written = ::write(file.get(), content.data(), content.size()); });
    if (failure != 0) return failure;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

std::string parent_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

int open(const std::string& path, int flags, Descriptor& file) {
  const int access = (flags & O_RDWR) != 0 ? 0 : O_WRONLY;
  return guarded("open", path, [&] {
    file = Descriptor(::open(path.c_str(), access | flags | O_CLOEXEC | O_NOFOLLOW, 0666));
    return file.get();
  });
}

int write(const Descriptor& file, std::string_view content, const std::string& path) {
  const FaultVerdict verdict = ask_fault_point("write", path);
  if (verdict.fault == Fault::none) return write_plainly(file, content);
  // A killed or failing write has written a part.
  const int failure = write_plainly(file, content.substr(0, content.size() / 2));
  if (verdict.fault == Fault::kill) kill_here();
  return failure != 0 ? failure : verdict.error_number;
}

int truncate(const Descriptor& file, const std::string& path, std::uint64_t length) {
  return guarded("truncate", path, [&] { return ::ftruncate(file.get(), static_cast<off_t>(length)); });
}

int sync(const Descriptor& file, const std::string& path) {
  return guarded("fsync", path, [&] { return ::fsync(file.get()); });
}

int sync_file(const std::string& path) {
  Descriptor file;
  if (const int failure = open_existing(path, 0, file); failure != 0) return failure;
  return sync(file, path);
}

int sync_directory(const std::string& path) {
  Descriptor directory;
  if (const int failure = open_existing(path, O_DIRECTORY, directory); failure != 0) return failure;
  return guarded("fsync", path, [&] {
    // Some network file systems cannot sync a directory and say EINVAL; a rename is as durable there as it gets.
    const int result = ::fsync(directory.get());
    return result != 0 && errno == EINVAL ? 0 : result;
  });
}

int rename(const std::string& from, const std::string& to) {
  return guarded("rename", to, [&] { return std::rename(from.c_str(), to.c_str()); });
}

int exchange(const std::string& one, const std::string& other) {
  return guarded("exchange", other,
                 [&] { return ::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE); });
}

int unlink(const std::string& path) {
  return guarded("unlink", path, [&] { return ::unlink(path.c_str()); });
}

int remove_tree(const std::string& path) {
  std::error_code failure;
  const fs::file_status status = fs::symlink_status(path, failure);
  if (status.type() == fs::file_type::not_found) return 0;
  if (failure) return failure.value();
  std::vector<std::string> paths = {path};
  if (fs::is_directory(status)) {
    fs::recursive_directory_iterator entry(path, failure);
    for (; !failure && entry != fs::end(entry); entry.increment(failure)) paths.push_back(entry->path().string());
    if (failure) return failure.value();
  }
  // What lies in a directory was listed after it.
  for (auto next = paths.rbegin(); next != paths.rend(); ++next) {
    const bool directory = fs::is_directory(fs::symlink_status(*next, failure));
    const int result = directory ? guarded("rmdir", *next, [&] { return ::rmdir(next->c_str()); }) : unlink(*next);
    if (result != 0 && result != ENOENT) return result;
  }
  return 0;
}

int make_directories(const std::string& path) {
  std::error_code failure;
  if (path.empty() || fs::is_directory(path, failure)) return 0;
  const std::string plain = path.back() == '/' ? path.substr(0, path.find_last_not_of('/') + 1) : path;
  const std::string parent = parent_of(plain);
  if (const int result = make_directories(parent); result != 0) return result;
  const int result = guarded("mkdir", plain, [&] { return ::mkdir(plain.c_str(), 0777); });
  // Somebody else may have made it meanwhile.
  if (result != 0 && !(result == EEXIST && fs::is_directory(plain, failure))) return result;
  return sync_directory(parent);
}

int lock(const Descriptor& file, const std::string& path) {
  return guarded("flock", path, [&] { return ::flock(file.get(), LOCK_EX | LOCK_NB); });
}

}  // namespace chorale::file_calls
