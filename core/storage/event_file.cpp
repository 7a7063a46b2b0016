#include "core/storage/event_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/atomic_file.hpp"
#include "core/base/file_calls.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStart = "events.out.tfevents.";

std::vector<std::string> event_files(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code failure;
  fs::directory_iterator entry(directory, failure);
  for (; !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    std::string name = entry->path().filename().string();
    if (name.starts_with(kStart)) names.push_back(std::move(name));
  }
  if (failure) throw_storage_error("look into", directory, failure.value());
  return names;
}

// Now, or one more than any file's in the directory: a run may be killed and started again within a second.
std::int64_t seconds_of_next_name(const std::string& directory) {
  auto seconds = static_cast<std::int64_t>(wall_seconds());
  for (const std::string& name : event_files(directory)) {
    std::int64_t taken = 0;
    const char* first = name.data() + kStart.size();
    if (std::from_chars(first, name.data() + name.size(), taken).ec == std::errc() && taken < 9'999'999'999) {
      seconds = std::max(seconds, taken + 1);
    }
  }
  return seconds;
}

std::string host_name() {
  std::array<char, 256> name{};
  const bool known = ::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0';
  return known ? name.data() : "unknown";
}

}  // namespace

EventFile::EventFile(const std::string& directory, std::int64_t from_step, std::string_view ending) {
  make_directories(directory);
  path_ = fmt::format("{}/{}{:010}.{}.{}.0{}", directory, kStart, seconds_of_next_name(directory), host_name(),
                      ::getpid(), ending);
  if (const int failure = file_calls::open(path_, O_APPEND | O_CREAT, file_); failure != 0) {
    throw_storage_error("create", path_, failure);
  }
  const double now = wall_seconds();
  std::string head = event_record(version_event(now));
  if (from_step >= 0) head += event_record(restart_event(now, from_step));
  if (const int failure = file_calls::write(file_, head, path_); failure != 0) {
    throw_storage_error("write to", path_, failure);
  }
  sync_directory(directory);
}

void EventFile::write(double wall_time, std::int64_t step, std::span<const EventScalar> scalars) {
  synced_ = false;
  const std::string record = event_record(scalars_event(wall_time, step, scalars));
  if (const int failure = file_calls::write(file_, record, path_); failure != 0) {
    throw_storage_error("write to", path_, failure);
  }
}

void EventFile::sync() {
  if (synced_) return;
  if (const int failure = file_calls::sync(file_, path_); failure != 0) throw_storage_error("sync", path_, failure);
  synced_ = true;
}

void EventFile::remove(const std::string& directory, std::string_view ending) {
  std::error_code ignored;
  if (!fs::exists(directory, ignored)) return;
  for (const std::string& name : event_files(directory)) {
    if (!name.ends_with(ending)) continue;
    const std::string path = fmt::format("{}/{}", directory, name);
    if (const int failure = file_calls::unlink(path); failure != 0) throw_storage_error("remove", path, failure);
  }
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace chorale
