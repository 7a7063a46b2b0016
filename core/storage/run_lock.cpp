#include "core/storage/run_lock.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <ctime>
#include <optional>
#include <string_view>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/file_calls.hpp"
#include "core/base/printable.hpp"

namespace chorale {
namespace {

constexpr std::size_t kMostBytes = 1024;

struct Holder {
  std::string host;
  pid_t process = 0;
  std::string since;
};

std::string this_host() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

std::string own_text() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("host {}, process {}, since {:%Y-%m-%dT%H:%M:%SZ}\n", this_host(), ::getpid(), fmt::gmtime(now));
}

std::string text_of(const Descriptor& file) {
  std::string text(kMostBytes, '\0');
  const ssize_t count = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return text;
}

// Nothing when the text is not one of ours, or a part of one.
std::optional<Holder> holder_in(std::string_view text) {
  constexpr std::string_view kHost = "host ";
  constexpr std::string_view kProcess = ", process ";
  constexpr std::string_view kSince = ", since ";
  const std::size_t process = text.find(kProcess);
  const std::size_t since = text.find(kSince);
  if (!text.starts_with(kHost) || !text.ends_with("Z\n") || process == text.npos || since == text.npos ||
      process > since) {
    return std::nullopt;
  }
  Holder holder;
  holder.host = text.substr(kHost.size(), process - kHost.size());
  const std::string_view number = text.substr(process + kProcess.size(), since - process - kProcess.size());
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), holder.process);
  if (error != std::errc() || end != number.data() + number.size() || holder.process <= 0) return std::nullopt;
  holder.since = text.substr(since + kSince.size(), text.size() - since - kSince.size() - 1);
  return holder;
}

std::string described(const std::optional<Holder>& holder) {
  if (!holder) return "another process";
  return fmt::format("process {} on host {} since {}", holder->process, printable(holder->host),
                     printable(holder->since));
}

[[noreturn]] void refuse_held(const std::string& directory, const std::optional<Holder>& holder) {
  throw UsageError(fmt::format(
      "output.directory: {} is being written by {}; nothing was changed in it. Wait for it to end, stop it, "
      "or give another directory.",
      directory, described(holder)));
}

bool is_alive(pid_t process) {
  return ::kill(process, 0) == 0 || errno == EPERM;
}

// Where the file system knows no locks.
void judge_text(const std::string& directory, const std::string& path, std::string_view text) {
  if (text.empty()) return;
  const std::optional<Holder> holder = holder_in(text);
  if (holder && holder->host == this_host()) {
    if (is_alive(holder->process)) refuse_held(directory, holder);
    return;
  }
  throw UsageError(
      fmt::format("output.directory: {} was taken by {}, and whether it still runs cannot be seen from here (the file "
                  "system has no locks). If it is gone, delete {} and start again.",
                  directory, described(holder), path));
}

// Somebody may have deleted the file between our opening and locking it; the lock is then one on nothing.
bool is_still_there(const Descriptor& file, const std::string& path) {
  struct stat ours {};
  struct stat named {};
  return ::fstat(file.get(), &ours) == 0 && ::stat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
         ours.st_dev == named.st_dev;
}

// The open file with the kernel's lock on it (true), or without where there are no such locks.
bool open_and_lock(const std::string& directory, const std::string& path, Descriptor& file) {
  for (;;) {
    if (const int failure = file_calls::open(path, O_RDWR | O_CREAT, file); failure != 0) {
      throw_storage_error("create", path, failure);
    }
    const int failure = file_calls::lock(file, path);
    if (failure == EWOULDBLOCK) refuse_held(directory, holder_in(text_of(file)));
    if (failure == ENOLCK || failure == ENOTSUP || failure == ENOSYS) return false;
    if (failure != 0) throw_storage_error("lock", path, failure);
    if (is_still_there(file, path)) return true;
  }
}

}  // namespace

RunLock::RunLock(const std::string& run_directory) : path_(run_directory + "/" + kRunLockName) {
  const bool locked = open_and_lock(run_directory, path_, file_);
  const std::string text = text_of(file_);
  if (!locked) judge_text(run_directory, path_, text);
  const std::optional<Holder> holder = holder_in(text);
  if (locked && holder && holder->host != this_host()) {
    note_ = fmt::format("{} was last written by {}, which did not end in order; it no longer holds the lock",
                        run_directory, described(holder));
  }
  int failure = file_calls::truncate(file_, path_);
  if (failure == 0) failure = file_calls::write(file_, own_text(), path_);
  if (failure != 0) throw_storage_error("write", path_, failure);
}

RunLock::~RunLock() {
  // A text that stays is that of a dead process, which the next run sees for what it is.
  if (file_.get() >= 0) static_cast<void>(file_calls::truncate(file_, path_));
}

}  // namespace chorale
