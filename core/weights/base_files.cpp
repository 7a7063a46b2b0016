#include "core/weights/base_files.hpp"

#include <fmt/format.h>

#include <cstring>
#include <filesystem>

#include "core/base/errors.hpp"
#include "core/weights/gguf.hpp"
#include "core/weights/gguf_config.hpp"
#include "core/weights/mapped_base.hpp"

namespace chorale {
namespace {

std::unique_ptr<BaseFiles> open_gguf(const std::string& path) {
  auto file = std::make_unique<GgufFile>(path);
  ModelConfig config = gguf_config(*file);
  return make_mapped_base({.source = std::move(file),
                           .config = std::move(config),
                           .kind = "gguf",
                           .file_name = gguf_name,
                           .interleaved_rotary = true});
}

}  // namespace

std::unique_ptr<BaseFiles> open_base(const std::string& path) {
  return open_gguf(path);
}

}  // namespace chorale
