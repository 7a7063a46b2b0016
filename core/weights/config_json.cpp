#include "core/weights/config_json.hpp"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <limits>
#include <optional>
#include <string_view>

#include "core/base/errors.hpp"
#include "core/base/mapped_file.hpp"
#include "core/base/printable.hpp"
#include "core/base/strict_json.hpp"
#include "core/weights/expected_tensors.hpp"

namespace chorale {
namespace {

using nlohmann::json;

// Typed access to one object of the file. A key that is null counts as absent, as in transformers.
class Keys {
 public:
  Keys(const json& object, std::string path, std::string prefix = "")
      : object_(object), path_(std::move(path)), prefix_(std::move(prefix)) {}

  const json* find(const std::string& key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  std::optional<std::int64_t> integer(const std::string& key) const {
    const json* value = find(key);
    if (value == nullptr) {
      return std::nullopt;
    }
    const bool fits = value->is_number_unsigned()
                          ? value->get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max()
                          : value->is_number_integer();
    if (!fits) {
      wrong(key, "an integer", *value);
    }
    return value->get<std::int64_t>();
  }

  std::int64_t required_integer(const std::string& key) const {
    const auto value = integer(key);
    if (!value) {
      throw InputError(
          fmt::format("{}: the key '{}{}' is missing. Fetch the model's config.json again.", path_, prefix_, key));
    }
    return *value;
  }

  std::optional<double> number(const std::string& key) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_number()) {
      wrong(key, "a number", *value);
    }
    return value == nullptr ? std::nullopt : std::optional(value->get<double>());
  }

  bool boolean(const std::string& key, bool otherwise) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_boolean()) {
      wrong(key, "true or false", *value);
    }
    return value == nullptr ? otherwise : value->get<bool>();
  }

  std::optional<std::string> text(const std::string& key) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_string()) {
      wrong(key, "a string", *value);
    }
    return value == nullptr ? std::nullopt : std::optional(value->get<std::string>());
  }

  std::optional<Keys> object(const std::string& key) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_object()) {
      wrong(key, "an object", *value);
    }
    return value == nullptr ? std::nullopt : std::optional(Keys(*value, path_, prefix_ + key + "."));
  }

  [[noreturn]] void unsupported(const std::string& key, const std::string& found, std::string_view supported) const {
    throw InputError(fmt::format("{}: {}{} is '{}', which is not supported; supported: {}. Choose another model.",
                                 path_, prefix_, key, printable(found), supported));
  }

 private:
  [[noreturn]] void wrong(const std::string& key, std::string_view expected, const json& found) const {
    throw InputError(fmt::format(
        "{}: the key '{}{}' is {} where {} is expected. Correct it, or fetch the model's "
        "config.json again.",
        path_, prefix_, key, printable(found.dump(-1, ' ', false, json::error_handler_t::replace)), expected));
  }

  const json& object_;
  std::string path_;
  std::string prefix_;
};

RopeScaling read_scaling(const Keys& keys) {
  RopeScaling scaling;
  // "type" is the older spelling.
  const std::string kind = keys.text("rope_type").value_or(keys.text("type").value_or("default"));
  if (kind == "default") {
    return scaling;
  }
  if (kind != "linear" && kind != "llama3") {
    keys.unsupported("rope_type", kind, "default, linear, llama3");
  }
  scaling.kind = kind;
  const auto needed = [&](const std::string& key) {
    const auto value = keys.number(key);
    if (!value) {
      keys.unsupported(key, "missing", fmt::format("a number, which rope_type {} needs", kind));
    }
    return *value;
  };
  scaling.factor = needed("factor");
  if (kind == "llama3") {
    scaling.low_frequency_factor = needed("low_freq_factor");
    scaling.high_frequency_factor = needed("high_freq_factor");
    scaling.original_context = needed("original_max_position_embeddings");
  }
  return scaling;
}

void refuse_partial_rotation(const Keys& keys) {
  const double part = keys.number("partial_rotary_factor").value_or(1.0);
  if (part != 1.0) {
    keys.unsupported("partial_rotary_factor", fmt::format("{}", part), "1");
  }
}

void read_rope(const Keys& keys, ModelConfig& config) {
  config.rope_theta = keys.number("rope_theta").value_or(10000.0);
  refuse_partial_rotation(keys);
  const auto newer = keys.object("rope_parameters");
  if (newer) {
    config.rope_theta = newer->number("rope_theta").value_or(config.rope_theta);
    refuse_partial_rotation(*newer);
    config.rope_scaling = read_scaling(*newer);
  } else if (const auto older = keys.object("rope_scaling")) {
    config.rope_scaling = read_scaling(*older);
  }
}

void expect_plain_llama(const Keys& keys) {
  const auto type = keys.text("model_type");
  if (!type || *type != "llama") {
    keys.unsupported("model_type", type.value_or("missing"), "llama");
  }
  const std::string activation = keys.text("hidden_act").value_or("silu");
  if (activation != "silu") {
    keys.unsupported("hidden_act", activation, "silu");
  }
  if (keys.find("quantization_config") != nullptr) {
    keys.unsupported("quantization_config", "present", "weights in float32, float16 or bfloat16, or a GGUF file");
  }
}

}  // namespace

ModelConfig model_config_from_json(const json& object, const std::string& path) {
  if (!object.is_object()) {
    throw InputError(fmt::format("{}: is not a JSON object. Fetch the model's config.json again.", path));
  }
  const Keys keys(object, path);
  expect_plain_llama(keys);
  ModelConfig config;
  config.name = keys.text("_name_or_path").value_or("");
  config.vocabulary = keys.required_integer("vocab_size");
  config.hidden = keys.required_integer("hidden_size");
  config.layers = keys.required_integer("num_hidden_layers");
  config.heads = keys.required_integer("num_attention_heads");
  config.kv_heads = keys.integer("num_key_value_heads").value_or(config.heads);
  config.head_dim = keys.integer("head_dim").value_or(config.heads > 0 ? config.hidden / config.heads : 0);
  config.feed_forward = keys.required_integer("intermediate_size");
  // The family's defaults in transformers.
  config.context_length = keys.integer("max_position_embeddings").value_or(2048);
  config.rms_epsilon = keys.number("rms_norm_eps").value_or(1e-6);
  config.tied_head = keys.boolean("tie_word_embeddings", false);
  config.attention_bias = keys.boolean("attention_bias", false);
  config.mlp_bias = keys.boolean("mlp_bias", false);
  read_rope(keys, config);
  validate(config, path);
  return config;
}

ModelConfig read_model_config(const std::string& directory) {
  const std::string path = (std::filesystem::path(directory) / "config.json").string();
  const MappedFile file(path);
  const std::string_view text{reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  return model_config_from_json(parse_strict_json(text, path), path);
}

}  // namespace chorale
