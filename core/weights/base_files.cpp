#include "core/weights/base_files.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "core/base/errors.hpp"
#include "core/weights/config_json.hpp"
#include "core/weights/expected_tensors.hpp"
#include "core/weights/gguf.hpp"
#include "core/weights/gguf_config.hpp"
#include "core/weights/mapped_base.hpp"
#include "core/weights/safetensors_directory.hpp"

namespace chorale {
namespace {

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

std::unique_ptr<BaseFiles> open_directory(const std::string& path) {
  ModelConfig config = read_model_config(path);
  auto files = std::make_unique<SafetensorsDirectory>(path);
  refuse_undecodable(*files, config);
  return make_mapped_base({.source = std::move(files),
                           .config = std::move(config),
                           .kind = "huggingface",
                           .file_name = [](std::string_view name) { return std::string(name); }});
}

}  // namespace

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
