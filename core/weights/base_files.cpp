#include "core/weights/base_files.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/weights/config_json.hpp"
#include "core/weights/expected_tensors.hpp"
#include "core/weights/gguf.hpp"
#include "core/weights/gguf_config.hpp"
#include "core/weights/mapped_base.hpp"
#include "core/weights/safetensors_directory.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

// Without this a model in 8-bit floats would be reported as lacking its tensors.
void refuse_undecodable(const SafetensorsDirectory& files, const ModelConfig& config) {
  for (const ExpectedTensor& expected : expected_tensors(config)) {
    if (const auto found = files.undecodable().find(expected.name); found != files.undecodable().end()) {
      throw InputError(
          fmt::format("{}: the tensor '{}' is stored as {}; F64, F32, F16 and BF16 can be read. Save the "
                      "model in one of these.",
                      files.path(), expected.name, found->second));
    }
  }
}

std::unique_ptr<BaseFiles> open_gguf(const std::string& path) {
  auto file = std::make_unique<GgufFile>(path);
  ModelConfig config = gguf_config(*file);
  return make_mapped_base({.source = std::move(file),
                           .config = std::move(config),
                           .kind = "gguf",
                           .file_name = gguf_name,
                           .interleaved_rotary = true,
                           .refuse_unused = true});
}

// A directory without config.json is often one that belongs elsewhere in the recipe or on the command line.
void refuse_other_directories(const fs::path& path) {
  std::error_code ignored;
  if (fs::exists(path / "config.json", ignored)) return;
  if (fs::exists(path / "adapter_config.json", ignored)) {
    throw InputError(
        fmt::format("{}: is a PEFT adapter, not a base model. Give the base it was trained over (its "
                    "adapter_config.json names it), and the adapter by --adapters.",
                    path.string()));
  }
  if (fs::exists(path / "checkpoints", ignored)) {
    throw InputError(
        fmt::format("{}: is the directory of a run, not a base model. Give the base (base.path in its "
                    "recipe.yaml).",
                    path.string()));
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(path, ignored)) {
    if (entry.path().extension() != ".gguf") continue;
    throw InputError(fmt::format("{}: holds no config.json, but {}. Name that file itself.", path.string(),
                                 printable(entry.path().filename().string())));
  }
}

std::unique_ptr<BaseFiles> open_directory(const std::string& path) {
  refuse_other_directories(path);
  ModelConfig config = read_model_config(path);
  auto files = std::make_unique<SafetensorsDirectory>(path);
  refuse_undecodable(*files, config);
  return make_mapped_base({.source = std::move(files),
                           .config = std::move(config),
                           .kind = "huggingface",
                           .file_name = [](std::string_view name) { return std::string(name); }});
}

}  // namespace

std::optional<StorageType> BaseFiles::stored_as(std::string_view /*name*/) const {
  return std::nullopt;
}

void BaseFiles::copy_rows(std::string_view name, std::int64_t /*first*/, std::int64_t /*count*/,
                          std::span<std::byte> /*out*/) const {
  throw InternalError("a tensor without a stored form: " + std::string(name));
}

std::unique_ptr<BaseFiles> open_base(const std::string& path) {
  std::error_code problem;
  const auto status = std::filesystem::status(path, problem);
  if (!std::filesystem::exists(status)) {
    throw InputError(
        fmt::format("{}: no such file or directory. Give a .gguf file or a Hugging Face model directory.", path));
  }
  if (std::filesystem::is_directory(status)) {
    return open_directory(path);
  }
  if (path.ends_with(".safetensors") || path.ends_with(".json")) {
    throw InputError(
        fmt::format("{}: is one file of a model. Give the directory that holds config.json and the weights.", path));
  }
  return open_gguf(path);
}

}  // namespace chorale
