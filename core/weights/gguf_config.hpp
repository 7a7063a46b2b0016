// What a GGUF file's metadata say about the decoder, and what its tensors are called there.
#pragma once

#include <string>
#include <string_view>

#include "core/weights/gguf.hpp"
#include "core/weights/model_config.hpp"

namespace chorale {

/// The shape of the model in `file`. InputError when it is not of the architecture `llama`, a key is missing or of the
/// wrong type, or the file asks for something that is not implemented (experts, other rotary scalings, sliding
/// windows).
[[nodiscard]] ModelConfig gguf_config(const GgufFile& file);

/// The GGUF name of a tensor with the given Hugging Face name: "model.layers.3.mlp.up_proj.weight" is
/// "blk.3.ffn_up.weight". Empty when the Llama family has no such tensor.
[[nodiscard]] std::string gguf_name(std::string_view hugging_face_name);

}  // namespace chorale
