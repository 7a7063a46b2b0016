#include "launch/training/log_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/file_calls.hpp"
#include "core/base/strict_json.hpp"
#include "core/base/whole_file.hpp"

namespace chorale {
namespace {

using nlohmann::json;

// What an interrupted write leaves is never a whole object, which ends with a brace of its own; some file systems fill
// it up with zeros after a power cut.
bool is_cut_short(std::string_view last_line) {
  return last_line.find('\0') != last_line.npos || !json::accept(last_line);
}

std::int64_t step_of(const json& line, const std::string& path, std::size_t number) {
  if (!line.is_object() || !line.value("step", json()).is_number_integer()) {
    throw InputError(
        fmt::format("{}:{}: is no line of a training log: it has no whole number as 'step'. Move the file "
                    "away, or remove the line.",
                    path, number));
  }
  return line["step"].get<std::int64_t>();
}

}  // namespace

LogFile::LogFile(std::string path, OnFailure on_failure) : path_(std::move(path)), on_failure_(on_failure) {
  if (const int failure = file_calls::open(path_, O_APPEND | O_CREAT, file_); failure != 0) {
    throw_storage_error("create", path_, failure);
  }
  const std::string parent = std::filesystem::path(path_).parent_path().string();
  sync_directory(parent.empty() ? "." : parent);
}

void LogFile::write(const json& line) {
  const std::string text = line.dump() + "\n";
  if (on_failure_ == OnFailure::stop) {
    if (const int failure = file_calls::write(file_, text, path_); failure != 0) {
      throw_storage_error("write to", path_, failure);
    }
    return;
  }
  const bool is_first = waiting_.empty();
  waiting_ += text;
  if (const int failure = write_waiting(); failure != 0 && is_first) {
    spdlog::warn("{}: cannot be written: {}. Its lines are kept until they can be.", path_,
                 std::generic_category().message(failure));
  }
}

// What a failed write has left of a line is cut off before the next one.
int LogFile::write_waiting() {
  struct stat status {};
  if (!whole_) {
    if (::fstat(file_.get(), &status) != 0) return errno;
    whole_ = static_cast<std::uint64_t>(status.st_size);
  } else if (const int failure = file_calls::truncate(file_, path_, *whole_); failure != 0) {
    return failure;
  }
  if (const int failure = file_calls::write(file_, waiting_, path_); failure != 0) return failure;
  waiting_.clear();
  whole_.reset();
  return 0;
}

void LogFile::sync() {
  if (!waiting_.empty()) {
    if (const int failure = write_waiting(); failure != 0) throw_storage_error("write to", path_, failure);
  }
  if (const int failure = file_calls::sync(file_, path_); failure != 0) throw_storage_error("sync", path_, failure);
}

double LogFile::cut_after(const std::string& path, std::int64_t step) {
  const std::optional<std::string> content = read_whole_file(path);
  if (!content) return 0.0;
  std::string kept;
  double seconds = 0.0;
  std::size_t number = 0;
  for (std::string_view rest = *content; !rest.empty();) {
    const std::size_t end = rest.find('\n');
    const std::string_view text = rest.substr(0, end);
    ++number;
    if (end == rest.npos && is_cut_short(text)) break;
    const json line = parse_strict_json(text, path, number);
    if (step_of(line, path, number) <= step) {
      kept.append(text).push_back('\n');
      if (const json time = line.value("seconds", json()); time.is_number()) {
        seconds = std::max(seconds, time.get<double>());
      }
    }
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
  }
  if (kept != *content) write_file_atomically(path, kept);
  return seconds;
}

}  // namespace chorale
