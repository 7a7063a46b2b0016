// The small files beside a merged model's weights: configuration and tokenizer, for transformers 4 and 5.
#pragma once

#include <string>

#include "core/interop/new_directory.hpp"
#include "core/weights/base_files.hpp"
#include "core/weights/tensor_source.hpp"

namespace chorale {

/// config.json for weights stored as `type`: the base's own with the keys that changed between transformers 4 and 5 in
/// both forms (rope_theta and rope_scaling, rope_parameters; torch_dtype, dtype), or one made from a GGUF file's
/// metadata.
[[nodiscard]] std::string merged_config(const BaseFiles& base, StorageType type);

/// generation_config.json and the tokenizer's files: copies of those of a Hugging Face base, made from the vocabulary
/// of a GGUF base. Warns when there is no tokenizer to give. StorageError, InputError.
void write_generation_and_tokenizer(const BaseFiles& base, NewDirectory& output);

}  // namespace chorale
