#include "launch/training/run_directory.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/file_calls.hpp"
#include "core/storage/run_lock.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

// Ordinary files with the name unfinished_path() gives them.
bool is_unfinished(const fs::directory_entry& entry, std::string_view start) {
  const std::string name = entry.path().filename().string();
  std::error_code ignored;
  return name.starts_with(start) && name.ends_with(".tmp") && entry.is_regular_file(ignored);
}

std::vector<fs::directory_entry> entries_of(const std::string& path) {
  std::error_code failure;
  std::vector<fs::directory_entry> entries;
  fs::directory_iterator next(path, failure);
  for (; !failure && next != fs::end(next); next.increment(failure)) entries.push_back(*next);
  if (failure) throw_storage_error("look into", path, failure.value());
  return entries;
}

bool is_empty(const std::vector<fs::directory_entry>& entries) {
  for (const fs::directory_entry& entry : entries) {
    if (entry.path().filename() != kRunLockName && !is_unfinished(entry, "recipe.yaml.")) return false;
  }
  return true;
}

}  // namespace

RunDirectory::RunDirectory(std::string path, bool resume) : path_(std::move(path)) {
  std::error_code error;
  if (!fs::exists(path_, error)) {
    make_directories(path_);
  } else if (!fs::is_directory(path_, error)) {
    throw UsageError(fmt::format("output.directory: {} is a file. Name another directory.", path_));
  }
  const bool begun = fs::exists(file("recipe.yaml"), error) || fs::exists(file("checkpoints"), error);
  if (!is_empty(entries_of(path_)) && !resume) {
    throw UsageError(
        fmt::format("output.directory: {} already holds a run; nothing was changed in it. Move it away, go on with it "
                    "by --resume, or give another one, e.g. output.directory={}-2.",
                    path_, path_));
  }
  if (!is_empty(entries_of(path_)) && !begun) {
    throw UsageError(
        fmt::format("output.directory: {} holds files, but neither recipe.yaml nor checkpoints: there is no run to "
                    "resume, and nothing was changed in it. Check the path, or start a run in a new directory.",
                    path_));
  }
  if (access(path_.c_str(), W_OK | X_OK) != 0) throw_storage_error("write to", path_, errno);
}

void RunDirectory::remove_unfinished() const {
  for (const fs::directory_entry& entry : entries_of(path_)) {
    if (!is_unfinished(entry, "")) continue;
    const std::string path = entry.path().string();
    if (const int failure = file_calls::unlink(path); failure != 0) throw_storage_error("remove", path, failure);
  }
}

}  // namespace chorale
