// The tokenizer inside a GGUF file's metadata.
#pragma once

#include <memory>
#include <string>

#include "core/tokenizer/tokenizer.hpp"
#include "core/weights/metadata.hpp"

namespace chorale {

/// Reads the keys tokenizer.ggml.*: `model` (gpt2 only), `pre` (a pre-tokeniser by name), `tokens`, `token_type`,
/// `merges`, and the ids and switches of BOS and EOS, `add_space_prefix`. `path` names the file in messages. Nothing of
/// `metadata` is kept. InputError naming file, key and value for what is missing, malformed or of a kind we do not
/// read.
[[nodiscard]] std::unique_ptr<Tokenizer> read_gguf_tokenizer(const Metadata& metadata, const std::string& path);

}  // namespace chorale
