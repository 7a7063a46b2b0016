#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/errors.hpp"
#include "core/base/newer_format.hpp"
#include "core/base/printable.hpp"
#include "core/base/sha256.hpp"
#include "core/base/strict_json.hpp"
#include "core/storage/checkpoint_directory.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uintmax_t kMostManifestBytes = std::uintmax_t{1} << 24U;
constexpr std::size_t kMostLatestBytes = 256;

[[noreturn]] void refuse(const std::string& path, const std::string& problem) {
  throw InputError(fmt::format("{}: {}. Use another checkpoint.", path, problem));
}

// A regular file itself: a link could lead anywhere.
std::uintmax_t size_of(const std::string& path) {
  std::error_code failure;
  if (!fs::is_regular_file(fs::symlink_status(path, failure))) refuse(path, "is missing or no regular file");
  const std::uintmax_t bytes = fs::file_size(path, failure);
  if (failure) refuse(path, failure.message());
  return bytes;
}

std::string first_bytes(const std::string& path, std::size_t limit) {
  std::ifstream file(path, std::ios::binary);
  std::string content(limit, '\0');
  file.read(content.data(), static_cast<std::streamsize>(limit));
  content.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return content;
}

json read_manifest(const std::string& path) {
  const std::uintmax_t bytes = size_of(path);
  if (bytes > kMostManifestBytes) refuse(path, fmt::format("has {} bytes, too many for a manifest", bytes));
  json manifest = parse_strict_json(first_bytes(path, static_cast<std::size_t>(bytes)), path);
  if (!manifest.is_object() || manifest.value("format", json()) != "chorale-manifest" ||
      !manifest.value("format_version", json()).is_number_integer()) {
    refuse(path, "is no manifest of a checkpoint");
  }
  const auto version = manifest["format_version"].get<std::int64_t>();
  if (version > kManifestVersion) throw NewerFormatError(path, version, kManifestVersion);
  if (!manifest.value("step", json()).is_number_unsigned() || !manifest.value("files", json()).is_object() ||
      manifest["files"].empty()) {
    refuse(path, "lacks 'step' or 'files'");
  }
  return manifest;
}

void verify_file(const std::string& path, const json& entry, const std::string& manifest, bool hashes) {
  if (!entry.is_object() || !entry.value("bytes", json()).is_number_unsigned() ||
      !entry.value("sha256", json()).is_string()) {
    refuse(manifest, fmt::format("says nothing of use about {}", fs::path(path).filename().string()));
  }
  const std::uintmax_t bytes = size_of(path);
  if (bytes != entry["bytes"].get<std::uintmax_t>()) {
    refuse(path, fmt::format("has {} bytes, its manifest says {}: it was cut short or changed", bytes,
                             entry["bytes"].dump()));
  }
  if (hashes && sha256_of_file(path) != entry["sha256"].get_ref<const std::string&>()) {
    refuse(path, "its contents do not fit the SHA-256 in its manifest: it is damaged or of another checkpoint");
  }
}

struct Candidate {
  std::int64_t step;
  std::string directory;
};

// Newest first; of one step the checkpoint itself before one that it replaces.
std::vector<Candidate> candidates_in(const std::string& checkpoints) {
  std::vector<Candidate> candidates;
  std::error_code failure;
  for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints, failure)) {
    std::string name = entry.path().filename().string();
    if (name.ends_with(kReplacedSuffix)) name.resize(name.size() - std::string_view(kReplacedSuffix).size());
    if (const auto step = step_of_checkpoint(name)) candidates.push_back({*step, entry.path().string()});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& one, const Candidate& other) {
    return one.step != other.step ? one.step > other.step : one.directory < other.directory;
  });
  return candidates;
}

// What LATEST names, when it is there.
std::optional<std::string> read_latest(const std::string& checkpoints) {
  const fs::path path = fs::path(checkpoints) / "LATEST";
  std::error_code ignored;
  if (!fs::is_regular_file(fs::symlink_status(path, ignored))) return std::nullopt;
  std::string name = first_bytes(path.string(), kMostLatestBytes);
  if (name.ends_with('\n')) name.pop_back();
  return name;
}

}  // namespace

FoundCheckpoint verify_checkpoint(const std::string& directory, bool hashes) {
  const std::string path = (fs::path(directory) / "manifest.json").string();
  const json manifest = read_manifest(path);
  FoundCheckpoint checkpoint{directory, manifest["step"].get<std::int64_t>(), {}};
  const json& files = manifest["files"];
  for (std::size_t group = 0; group < files.size(); ++group) {
    const std::string name = group_file_name(static_cast<std::int64_t>(group));
    if (!files.contains(name)) refuse(path, fmt::format("lists {} files, but not {}", files.size(), name));
    checkpoint.files.push_back((fs::path(directory) / name).string());
    verify_file(checkpoint.files.back(), files[name], path, hashes);
  }
  return checkpoint;
}

CheckpointSearch find_latest_valid(const std::string& checkpoints) {
  CheckpointSearch search;
  for (const auto& [step, directory] : candidates_in(checkpoints)) {
    try {
      FoundCheckpoint checkpoint = verify_checkpoint(directory);
      if (checkpoint.step != step) refuse(directory, fmt::format("its manifest is that of step {}", checkpoint.step));
      search.found = std::move(checkpoint);
      break;
    } catch (const NewerFormatError&) {
      throw;  // going on from an older state beside it would lose what the newer program did
    } catch (const InputError& error) {
      search.problems.emplace_back(error.what());
      search.damaged.push_back(directory);
    }
  }
  if (const auto latest = read_latest(checkpoints)) {
    const auto step = step_of_checkpoint(*latest);
    const std::string named = (fs::path(checkpoints) / *latest).string();
    std::error_code ignored;
    if (!step || !fs::is_directory(named, ignored)) {
      search.problems.push_back(
          fmt::format("{}/LATEST names '{}', which is no checkpoint there", checkpoints, printable(*latest)));
    }
  }
  return search;
}

}  // namespace chorale
