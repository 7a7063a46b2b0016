#include "core/weights/describe.hpp"

#include <filesystem>
#include <map>
#include <string_view>
#include <utility>
#include <variant>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/weights/base_files.hpp"
#include "core/weights/gguf.hpp"
#include "core/weights/safetensors_directory.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t longest_text = 200;

ordered_json value_json(const MetadataValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) {
    return *flag;
  }
  if (const auto* number = std::get_if<std::uint64_t>(&value)) {
    return *number;
  }
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return *number;
  }
  if (const auto* number = std::get_if<double>(&value)) {
    return *number;
  }
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    return printable(*text, longest_text);
  }
  return Metadata::describe(value);
}

void add_tensors(ordered_json& out, const TensorSource& source) {
  std::int64_t elements = 0;
  std::size_t bytes = 0;
  ordered_json table = ordered_json::array();
  for (const TensorView& tensor : source.tensors()) {
    elements += tensor.element_count();
    bytes += tensor.bytes.size();
    table.push_back({{"name", printable(tensor.name, longest_text)},
                     {"shape", tensor.shape},
                     {"type", storage_type_name(tensor.type)},
                     {"bytes", tensor.bytes.size()}});
  }
  out["parameters"] = elements;
  out["bytes"] = bytes;
  out["tensors"] = std::move(table);
}

// The container is sound when this is called; what is wrong with it as a base is worth showing beside its contents.
void add_config(ordered_json& out, const std::string& path) {
  try {
    out["config"] = to_json(open_base(path)->config());
  } catch (const InputError& error) {
    out["config"] = nullptr;
    out["problem"] = error.what();
  }
}

ordered_json describe_gguf(const std::string& path) {
  const GgufFile file(path);
  ordered_json out{{"kind", "gguf"}, {"path", path}, {"version", file.version()}};
  add_config(out, path);
  add_tensors(out, file);
  ordered_json metadata = ordered_json::object();
  for (const auto& [key, value] : file.metadata().values()) {
    metadata[printable(key)] = value_json(value);
  }
  out["metadata"] = std::move(metadata);
  return out;
}

ordered_json describe_directory(const std::string& path) {
  const SafetensorsDirectory directory(path);
  ordered_json out{{"kind", "huggingface"}, {"path", path}, {"files", directory.files()}};
  add_config(out, path);
  add_tensors(out, directory);
  out["metadata"] = ordered_json::object();
  return out;
}

ordered_json describe_safetensors(const std::string& path) {
  const SafetensorsFile file(path);
  ordered_json out{{"kind", "safetensors"}, {"path", path}, {"config", nullptr}};
  add_tensors(out, file);
  out["metadata"] = file.metadata();
  return out;
}

}  // namespace

ordered_json to_json(const ModelConfig& config) {
  ordered_json out{{"family", config.family},
                   {"name", printable(config.name, longest_text)},
                   {"vocabulary", config.vocabulary},
                   {"hidden", config.hidden},
                   {"layers", config.layers},
                   {"heads", config.heads},
                   {"kv_heads", config.kv_heads},
                   {"head_dim", config.head_dim},
                   {"feed_forward", config.feed_forward},
                   {"context_length", config.context_length},
                   {"rms_epsilon", config.rms_epsilon},
                   {"rope_theta", config.rope_theta}};
  ordered_json scaling{{"kind", config.rope_scaling.kind}};
  if (config.rope_scaling.kind != "none") {
    scaling["factor"] = config.rope_scaling.factor;
  }
  if (config.rope_scaling.kind == "llama3") {
    scaling["low_frequency_factor"] = config.rope_scaling.low_frequency_factor;
    scaling["high_frequency_factor"] = config.rope_scaling.high_frequency_factor;
    scaling["original_context"] = config.rope_scaling.original_context;
  }
  out["rope_scaling"] = std::move(scaling);
  out["tied_head"] = config.tied_head;
  out["attention_bias"] = config.attention_bias;
  out["mlp_bias"] = config.mlp_bias;
  return out;
}

ordered_json describe_weights(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return describe_directory(path);
  }
  return path.ends_with(".safetensors") ? describe_safetensors(path) : describe_gguf(path);
}

}  // namespace chorale
