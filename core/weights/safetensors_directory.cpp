#include "core/weights/safetensors_directory.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"
#include "core/base/strict_json.hpp"
#include "core/weights/checked_extent.hpp"

namespace chorale {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

json read_index(const std::string& path) {
  const MappedFile file(path);
  const std::string_view text{reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  json index = parse_strict_json(text, path);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    throw InputError(fmt::format("{}: has no object 'weight_map'. Fetch the model again.", path));
  }
  return index;
}

// An index must not be able to name a file outside its own directory.
bool plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

// Shard name -> names of the tensors it must hold.
std::map<std::string, std::vector<std::string>> shards_of(const json& index, const std::string& path) {
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string() || !plain_file_name(shard.get_ref<const std::string&>())) {
      throw InputError(
          fmt::format("{}: tensor '{}' is mapped to {}, which is not a plain file name. Fetch the model "
                      "again, from a source you trust.",
                      path, printable(tensor), printable(shard.dump())));
    }
    shards[shard.get<std::string>()].push_back(tensor);
  }
  if (shards.empty()) {
    throw InputError(fmt::format("{}: 'weight_map' is empty. Fetch the model again.", path));
  }
  return shards;
}

[[noreturn]] void missing_tensor(const SafetensorsFile& file, const std::string& name, const std::string& index_path) {
  std::vector<std::string_view> names;
  for (const TensorView& tensor : file.tensors()) {
    names.push_back(tensor.name);
  }
  throw InputError(fmt::format(
      "{}: has no tensor '{}', which {} says it holds.{} An interrupted download? Fetch the "
      "model again.",
      file.path(), printable(name), index_path, did_you_mean(name, std::span<const std::string_view>(names))));
}

void compare_total_size(const json& index, std::uint64_t found, const std::string& path) {
  const auto metadata = index.find("metadata");
  if (metadata == index.end() || !metadata->is_object() || !metadata->contains("total_size")) {
    return;
  }
  const json& stated = (*metadata)["total_size"];
  if (!stated.is_number() || stated.get<double>() != static_cast<double>(found)) {
    spdlog::warn("{}: metadata.total_size is {}, but the tensors take {} bytes.", path, printable(stated.dump()),
                 found);
  }
}

[[noreturn]] void no_weights(const fs::path& directory) {
  const bool pickled = is_file(directory / "pytorch_model.bin") || is_file(directory / "pytorch_model.bin.index.json");
  throw InputError(fmt::format("{}: holds neither model.safetensors nor model.safetensors.index.json. {}",
                               directory.string(),
                               pickled ? "Its weights are pickled: save the model again with transformers' "
                                         "save_pretrained."
                                       : "Download the model's weight files into it."));
}

}  // namespace

SafetensorsDirectory::SafetensorsDirectory(const std::string& directory) : directory_(directory) {
  const fs::path single = fs::path(directory) / "model.safetensors";
  const fs::path index = fs::path(directory) / "model.safetensors.index.json";
  if (is_file(single)) {
    files_.push_back(std::make_unique<SafetensorsFile>(single.string()));
    tensors_ = files_.front()->tensors();
    undecodable_ = files_.front()->undecodable();
  } else if (is_file(index)) {
    open_shards(index.string());
  } else {
    no_weights(directory);
  }
}

void SafetensorsDirectory::open_shards(const std::string& index_path) {
  const json index = read_index(index_path);
  std::uint64_t total = 0;
  for (const auto& [shard, names] : shards_of(index, index_path)) {
    const fs::path path = fs::path(directory_) / shard;
    if (!is_file(path)) {
      throw InputError(fmt::format("{}: is missing, but {} names it. An interrupted download? Fetch the model again.",
                                   path.string(), index_path));
    }
    const SafetensorsFile& file = *files_.emplace_back(std::make_unique<SafetensorsFile>(path.string()));
    for (const std::string& name : names) {
      if (const auto other = file.undecodable().find(name); other != file.undecodable().end()) {
        undecodable_.insert(*other);
        continue;
      }
      const TensorView* tensor = file.find(name);
      if (tensor == nullptr) {
        missing_tensor(file, name, index_path);
      }
      total += tensor->bytes.size();
      tensors_.push_back(*tensor);
    }
    if (const std::size_t held = file.tensors().size() + file.undecodable().size(); held > names.size()) {
      spdlog::warn("{}: {} of its tensors are not mentioned in {} and are ignored.", file.path(), held - names.size(),
                   index_path);
    }
  }
  sort_by_name(tensors_, directory_);
  if (undecodable_.empty()) {
    compare_total_size(index, total, index_path);
  }
}

std::vector<std::string> SafetensorsDirectory::files() const {
  std::vector<std::string> paths;
  for (const auto& file : files_) {
    paths.push_back(file->path());
  }
  return paths;
}

}  // namespace chorale
