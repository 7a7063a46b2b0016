#include "core/storage/checkpoint_directory.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/file_calls.hpp"
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

void remove(const std::string& path) {
  if (const int failure = file_calls::remove_tree(path); failure != 0) throw_storage_error("remove", path, failure);
}

void rename(const std::string& from, const std::string& to) {
  if (const int failure = file_calls::rename(from, to); failure != 0) throw_storage_error("write", to, failure);
}

// `to` exists: afterwards it is what `from` was, and what it was itself is gone. At every moment one of the two can be
// found.
void replace(const std::string& from, const std::string& to, const std::string& parent) {
  const int failure = file_calls::exchange(from, to);
  if (failure == 0) {
    sync_directory(parent);
    remove(from);
    return;
  }
  if (failure != EINVAL && failure != ENOSYS) throw_storage_error("write", to, failure);
  // Network file systems cannot exchange two names: the old one steps aside under a name that readers know.
  const std::string aside = to + kReplacedSuffix;
  remove(aside);
  rename(to, aside);
  rename(from, to);
  sync_directory(parent);
  remove(aside);
}

}  // namespace

std::string checkpoint_name(std::int64_t step) {
  return fmt::format("step_{:08}", step);
}

std::optional<std::int64_t> step_of_checkpoint(const std::string& name) {
  constexpr std::string_view kPrefix = "step_";
  std::int64_t step = 0;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const auto [end, error] = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), step);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  return whole && step >= 0 && checkpoint_name(step) == name ? std::optional<std::int64_t>(step) : std::nullopt;
}

std::string group_file_name(std::int64_t group) {
  return fmt::format("group_{:03}.h5", group);
}

std::string begin_checkpoint(const std::string& checkpoints, std::int64_t step) {
  CHORALE_ASSERT(step >= 0, "a step counts what is done");
  std::string directory = temporary_path(checkpoints, step);
  remove(directory);
  make_directories(directory);
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
  if (fs::exists(path, ignored)) {
    replace(temporary, path, checkpoints);
  } else {
    rename(temporary, path);
    sync_directory(checkpoints);
  }
}

void point_latest(const std::string& checkpoints, std::int64_t step) {
  write_file_atomically((fs::path(checkpoints) / "LATEST").string(), checkpoint_name(step) + "\n");
}

void adopt_checkpoint(const std::string& directory, const std::string& checkpoints, std::int64_t step) {
  const std::string temporary = temporary_path(checkpoints, step);
  remove(temporary);
  rename(directory, temporary);
  publish_checkpoint(checkpoints, step);
  point_latest(checkpoints, step);
}

void commit_checkpoint(const std::string& checkpoints, std::int64_t step, std::int64_t groups) {
  write_manifest(temporary_path(checkpoints, step), step, groups);
  publish_checkpoint(checkpoints, step);
  point_latest(checkpoints, step);
}

}  // namespace chorale
