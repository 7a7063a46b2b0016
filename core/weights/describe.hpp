// What a model file or directory holds, for people who look before they use it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/weights/model_config.hpp"

namespace chorale {

/// Describes a GGUF file, a safetensors file or a Hugging Face model directory without reading the tensors' values:
/// {kind: "gguf" | "safetensors" | "huggingface", path, config: {...} or null, problem: why there is no config or why
/// the model cannot be used as a base (absent when it can), parameters: elements of all tensors, bytes: of all tensors,
/// tensors: [{name, shape, type, bytes}] in order of names, metadata: {key: value; long arrays as a phrase}}.
/// InputError when the container itself is damaged.
[[nodiscard]] nlohmann::ordered_json describe_weights(const std::string& path);

/// A configuration under the names used throughout this project.
[[nodiscard]] nlohmann::ordered_json to_json(const ModelConfig& config);

}  // namespace chorale
