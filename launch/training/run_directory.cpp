#include "launch/training/run_directory.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"

namespace chorale {

RunDirectory::RunDirectory(std::string path) : path_(std::move(path)) {
  std::error_code error;
  if (std::filesystem::exists(path_, error)) {
    if (!std::filesystem::is_directory(path_, error)) {
      throw UsageError(fmt::format("output.directory: {} is a file. Name another directory.", path_));
    }
    if (!std::filesystem::is_empty(path_, error)) {
      throw UsageError(
          fmt::format("output.directory: {} already holds a run; nothing was changed in it. Move it away or "
                      "give another one, e.g. output.directory={}-2.",
                      path_, path_));
    }
  } else {
    std::filesystem::create_directories(path_, error);
    if (error) throw_storage_error("create", path_, error.value());
  }
  if (access(path_.c_str(), W_OK | X_OK) != 0) throw_storage_error("write to", path_, errno);
}

}  // namespace chorale
