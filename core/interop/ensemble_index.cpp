#include "core/interop/ensemble_index.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/errors.hpp"
#include "core/base/mapped_file.hpp"
#include "core/base/newer_format.hpp"
#include "core/base/printable.hpp"
#include "core/base/sha256.hpp"
#include "core/base/strict_json.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

[[noreturn]] void refuse(const std::string& path, const std::string& problem) {
  throw InputError(
      fmt::format("{}: {}. Export the ensemble again, or give its members' directories one by one.", path, problem));
}

std::string text_of(const json& object, const char* key, const std::string& path) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) refuse(path, fmt::format("has no text '{}'", key));
  return found->get<std::string>();
}

// An index must not be able to name anything outside its own directory.
void expect_plain_name(const std::string& name, const std::string& path) {
  const bool plain = !name.empty() && name != "." && name != ".." &&
                     name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
  if (!plain) refuse(path, fmt::format("names '{}', which is no plain name", printable(name)));
}

void verify_files(const json& member, const fs::path& directory, const std::string& path) {
  const auto files = member.find("files");
  if (files == member.end() || !files->is_object() || files->empty()) refuse(path, "lists no files of a member");
  for (const auto& [name, expected] : files->items()) {
    expect_plain_name(name, path);
    const std::string file = (directory / name).string();
    std::error_code ignored;
    if (!fs::is_regular_file(file, ignored)) refuse(file, fmt::format("is missing, but {} lists it", path));
    if (expected != sha256_of_file(file)) refuse(file, fmt::format("is not what {} lists (another SHA-256)", path));
  }
}

}  // namespace

bool has_ensemble_index(const std::string& directory) {
  std::error_code ignored;
  return fs::is_regular_file(fs::path(directory) / kEnsembleIndexName, ignored);
}

EnsembleIndex read_ensemble_index(const std::string& directory) {
  const std::string path = (fs::path(directory) / kEnsembleIndexName).string();
  const MappedFile file(path);
  const std::string_view text{reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  const json object = parse_strict_json(text, path);
  if (!object.is_object() || object.value("format", json()) != kEnsembleFormat ||
      !object.value("format_version", json()).is_number_integer()) {
    refuse(path, "is not the index of an exported ensemble");
  }
  if (const auto version = object["format_version"].get<std::int64_t>(); version > kEnsembleVersion) {
    throw NewerFormatError(path, version, kEnsembleVersion);
  }
  EnsembleIndex index;
  index.kind = text_of(object, "kind", path);
  const json base = object.value("base", json());
  if (!base.is_object()) refuse(path, "has no object 'base'");
  index.base_fingerprint = text_of(base, "fingerprint", path);
  const json members = object.value("members", json());
  if (!members.is_array() || members.empty()) refuse(path, "lists no members");
  for (const json& member : members) {
    if (!member.is_object()) refuse(path, "lists a member that is no object");
    const std::string name = text_of(member, "directory", path);
    expect_plain_name(name, path);
    const fs::path of_member = fs::path(directory) / name;
    verify_files(member, of_member, path);
    index.directories.push_back(of_member.string());
  }
  return index;
}

std::vector<std::string> expand_adapter_directories(const std::vector<std::string>& given, const BaseFiles* base) {
  std::string fingerprint;
  std::vector<std::string> directories;
  for (const std::string& directory : given) {
    if (!has_ensemble_index(directory)) {
      directories.push_back(directory);
      continue;
    }
    const EnsembleIndex index = read_ensemble_index(directory);
    if (index.kind != "peft") {
      throw InputError(
          fmt::format("{}: its members are whole models (kind '{}'), not adapters. Export the run with --format peft, "
                      "or give a member's directory as a base.",
                      directory, printable(index.kind)));
    }
    if (base != nullptr && fingerprint.empty()) fingerprint = base->fingerprint();
    if (base != nullptr && index.base_fingerprint != fingerprint) {
      spdlog::warn(
          "{}: its adapters were trained over another file than {} (fingerprint {}, here {}). That is right only when "
          "both hold the same model.",
          directory, base->path(), printable(index.base_fingerprint), fingerprint);
    }
    directories.insert(directories.end(), index.directories.begin(), index.directories.end());
  }
  return directories;
}

}  // namespace chorale
