// The tokenizer inside a GGUF file's metadata.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/tokenizer/tokenizer.hpp"
#include "core/weights/metadata.hpp"

namespace chorale {

/// What a name under tokenizer.ggml.pre stands for. The patterns are in Oniguruma's syntax.
struct GgufPreTokenizer {
  std::string_view name;
  std::string_view title;
  std::string_view pattern;
  bool single_digits_first = false;
  /// The file does not say these three; the models' own tokenizer.json does.
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;
};

/// The one that `metadata` names. InputError naming `path` and those that are known when it is none of them.
[[nodiscard]] const GgufPreTokenizer& gguf_pre_tokenizer(const Metadata& metadata, const std::string& path);

/// Reads the keys tokenizer.ggml.*: `model` (gpt2 only), `pre` (a pre-tokeniser by name), `tokens`, `token_type`,
/// `merges`, and the ids and switches of BOS and EOS, `add_space_prefix`. `path` names the file in messages. Nothing of
/// `metadata` is kept. InputError naming file, key and value for what is missing, malformed or of a kind we do not
/// read.
[[nodiscard]] std::unique_ptr<Tokenizer> read_gguf_tokenizer(const Metadata& metadata, const std::string& path);

}  // namespace chorale
