#include "core/storage/checkpoint_upkeep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/file_calls.hpp"
#include "core/storage/checkpoint_directory.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

bool is_finished(const std::string& directory, std::int64_t step) {
  try {
    return verify_checkpoint(directory, false).step == step;
  } catch (const InputError&) {
    return false;
  }
}

struct Listing {
  std::set<std::int64_t> finished;
  std::vector<std::string> leftovers;  // paths
};

Listing list(const std::string& checkpoints) {
  Listing listing;
  std::error_code failure;
  std::vector<std::string> names;
  fs::directory_iterator entry(checkpoints, failure);
  for (; !failure && entry != fs::end(entry); entry.increment(failure)) {
    names.push_back(entry->path().filename().string());
  }
  const auto path_of = [&](const std::string& name) { return (fs::path(checkpoints) / name).string(); };
  for (const std::string& name : names) {
    const auto step = step_of_checkpoint(name);
    if (step && is_finished(path_of(name), *step)) listing.finished.insert(*step);
  }
  for (const std::string& name : names) {
    if (name.ends_with(".tmp")) listing.leftovers.push_back(path_of(name));
    if (!name.ends_with(kReplacedSuffix)) continue;
    const auto step = step_of_checkpoint(name.substr(0, name.size() - std::string_view(kReplacedSuffix).size()));
    if (step && listing.finished.contains(*step)) listing.leftovers.push_back(path_of(name));
  }
  return listing;
}

}  // namespace

void check_free_space(const std::string& directory, std::uint64_t bytes) {
  std::error_code failure;
  fs::path existing = fs::absolute(directory, failure);
  while (!fs::exists(existing, failure) && existing.has_relative_path()) existing = existing.parent_path();
  const fs::space_info space = fs::space(existing, failure);
  if (failure || space.available == static_cast<std::uintmax_t>(-1) || space.available / 2 >= bytes) return;
  throw StorageError(fmt::format(
      "cannot save a checkpoint in {}: {}: {} bytes are free, twice its {} bytes are needed. Free some space "
      "or choose another output directory, then start again with --resume.",
      directory, std::generic_category().message(ENOSPC), space.available, bytes));
}

std::vector<std::string> purge_checkpoints(const std::string& checkpoints, std::int64_t keep) {
  CHORALE_ASSERT(keep >= 1, "the last checkpoint is never deleted");
  std::vector<std::string> warnings;
  const auto warn = [&](const std::string& path, int failure) {
    warnings.push_back(fmt::format("{} is not needed any more and could not be deleted: {}. Delete it by hand.", path,
                                   std::generic_category().message(failure)));
  };
  Listing listing = list(checkpoints);
  bool renamed = false;
  const auto excess = std::max<std::int64_t>(0, static_cast<std::int64_t>(listing.finished.size()) - keep);
  for (auto step = listing.finished.begin(); step != std::next(listing.finished.begin(), excess); ++step) {
    const std::string path = (fs::path(checkpoints) / checkpoint_name(*step)).string();
    const std::string doomed = path + ".purged.tmp";
    int failure = file_calls::remove_tree(doomed);  // of an earlier purge that was cut short
    if (failure == 0) failure = file_calls::rename(path, doomed);
    if (failure != 0) {
      warn(path, failure);
      continue;
    }
    renamed = true;
    if (std::find(listing.leftovers.begin(), listing.leftovers.end(), doomed) == listing.leftovers.end()) {
      listing.leftovers.push_back(doomed);
    }
  }
  // The new names are durable before anything under them goes.
  if (renamed) {
    if (const int failure = file_calls::sync_directory(checkpoints); failure != 0) {
      for (const std::string& path : listing.leftovers) warn(path, failure);
      return warnings;
    }
  }
  for (const std::string& path : listing.leftovers) {
    if (const int failure = file_calls::remove_tree(path); failure != 0) warn(path, failure);
  }
  return warnings;
}

std::string set_aside(const std::string& directory) {
  const std::string plain = directory.ends_with('/') ? directory.substr(0, directory.size() - 1) : directory;
  std::string aside = plain + ".damaged";
  std::error_code ignored;
  for (int number = 2; fs::exists(fs::symlink_status(aside, ignored)); ++number) {
    aside = fmt::format("{}.damaged.{}", plain, number);
  }
  if (const int failure = file_calls::rename(plain, aside); failure != 0) {
    throw_storage_error("set aside the damaged checkpoint", plain, failure);
  }
  const std::string parent = fs::path(plain).parent_path().string();
  sync_directory(parent.empty() ? "." : parent);
  return aside;
}

}  // namespace chorale
