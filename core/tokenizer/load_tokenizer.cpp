// Which reader a path is for.
#include <fmt/format.h>

#include <filesystem>

#include "core/base/errors.hpp"
#include "core/tokenizer/tokenizer.hpp"
#include "core/tokenizer/tokenizer_gguf.hpp"
#include "core/tokenizer/tokenizer_json.hpp"
#include "core/weights/gguf.hpp"

namespace chorale {

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    const std::string inside = (fs::path(path) / "tokenizer.json").string();
    if (!fs::exists(inside, ignored)) {
      const bool sentencepiece = fs::exists(fs::path(path) / "tokenizer.model", ignored);
      throw InputError(
          fmt::format("{}: there is no tokenizer.json{}. Copy the model's tokenizer.json into the directory.", path,
                      sentencepiece ? " (tokenizer.model, SentencePiece's own format, is not read)" : ""));
    }
    return read_tokenizer_json(inside);
  }
  if (fs::path(path).extension() == ".gguf" || looks_like_gguf(path)) {
    const GgufFile file(path);
    return read_gguf_tokenizer(file.metadata(), path);
  }
  return read_tokenizer_json(path);
}

}  // namespace chorale
