// config.json of a Hugging Face model directory.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/weights/model_config.hpp"

namespace chorale {

/// The shape of the model in `directory`/config.json, in the key styles of transformers 4 (rope_theta, rope_scaling)
/// and 5 (rope_parameters). Keys the family may leave out get the family's defaults. InputError naming file and key
/// when the model is not of type `llama`, a key has the wrong type, or something is asked for that is not implemented.
[[nodiscard]] ModelConfig read_model_config(const std::string& directory);

/// The same from parsed JSON; `path` is for messages.
[[nodiscard]] ModelConfig model_config_from_json(const nlohmann::json& config, const std::string& path);

}  // namespace chorale
