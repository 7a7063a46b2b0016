// The vocabulary of a GGUF file as the two files that Hugging Face's libraries read.
#pragma once

#include <string>

#include "core/weights/metadata.hpp"

namespace chorale {

/// tokenizer.json: the same ids for every text as read_gguf_tokenizer gives. InputError as that, and for the rare
/// combinations of switches that tokenizer.json cannot express. `path` names the GGUF file in messages.
[[nodiscard]] std::string gguf_tokenizer_json(const Metadata& metadata, const std::string& path);

/// tokenizer_config.json: which tokens are BOS, EOS, padding and unknown, and the chat template when there is one.
[[nodiscard]] std::string gguf_tokenizer_config(const Metadata& metadata, const std::string& path);

}  // namespace chorale
