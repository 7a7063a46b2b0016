#include "core/storage/checkpoint_directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/sha256.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

std::string final_path(const std::string& checkpoints, std::int64_t step) {
  return (fs::path(checkpoints) / checkpoint_name(step)).string();
}

std::string temporary_path(const std::string& checkpoints, std::int64_t step) {
  return final_path(checkpoints, step) + ".tmp";
}

void remove_directory(const std::string& path) {
  std::error_code failure;
  fs::remove_all(path, failure);
  if (failure) throw_storage_error("remove", path, failure.value());
}

void create_directories(const std::string& path) {
  std::error_code failure;
  fs::create_directories(path, failure);
  if (failure) throw_storage_error("create", path, failure.value());
}

void rename_path(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) throw_storage_error("write", to, errno);
}

// `to` exists: afterwards it is what `from` was, and what it was itself is gone.
void replace(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
    remove_directory(from);
    return;
  }
  if (errno != EINVAL && errno != ENOSYS) throw_storage_error("write", to, errno);
  // Network file systems cannot exchange two names: the old one steps aside first.
  const std::string aside = to + ".replaced.tmp";
  remove_directory(aside);
  rename_path(to, aside);
  rename_path(from, to);
  remove_directory(aside);
}

}  // namespace

std::string checkpoint_name(std::int64_t step) {
  return fmt::format("step_{:08}", step);
}

std::string group_file_name(std::int64_t group) {
  return fmt::format("group_{:03}.h5", group);
}

std::string begin_checkpoint(const std::string& checkpoints, std::int64_t step) {
  CHORALE_ASSERT(step >= 0, "a step counts what is done");
  const std::string directory = temporary_path(checkpoints, step);
  remove_directory(directory);
  create_directories(directory);
  return directory;
}

void write_manifest(const std::string& directory, std::int64_t step, std::int64_t groups) {
  nlohmann::ordered_json files = nlohmann::ordered_json::object();
  for (std::int64_t group = 0; group < groups; ++group) {
    const std::string name = group_file_name(group);
    const std::string path = (fs::path(directory) / name).string();
    std::error_code failure;
    const std::uintmax_t bytes = fs::file_size(path, failure);
    if (failure) throw_storage_error("read back", path, failure.value());
    files[name] = {{"bytes", bytes}, {"sha256", sha256_of_file(path)}};
  }
  const nlohmann::ordered_json manifest = {{"format", "chorale-manifest"},
                                           {"format_version", kManifestVersion},
                                           {"created_by", "chorale " CHORALE_VERSION},
                                           {"step", step},
                                           {"files", files}};
  write_file_atomically((fs::path(directory) / "manifest.json").string(), manifest.dump(2) + "\n");
}

void publish_checkpoint(const std::string& checkpoints, std::int64_t step) {
  const std::string temporary = temporary_path(checkpoints, step);
  const std::string path = final_path(checkpoints, step);
  std::error_code ignored;
  fs::exists(path, ignored) ? replace(temporary, path) : rename_path(temporary, path);
  sync_directory(checkpoints);
}

void point_latest(const std::string& checkpoints, std::int64_t step) {
  write_file_atomically((fs::path(checkpoints) / "LATEST").string(), checkpoint_name(step) + "\n");
}

void commit_checkpoint(const std::string& checkpoints, std::int64_t step, std::int64_t groups) {
  write_manifest(temporary_path(checkpoints, step), step, groups);
  publish_checkpoint(checkpoints, step);
  point_latest(checkpoints, step);
}

}  // namespace chorale
