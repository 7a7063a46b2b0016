#include "core/interop/merged_config.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/errors.hpp"
#include "core/base/mapped_file.hpp"
#include "core/interop/gguf_tokenizer_json.hpp"
#include "core/weights/gguf.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// Whatever a Hugging Face directory may hold of a tokenizer, and how to generate with it.
constexpr std::array<std::string_view, 11> kCompanions{"generation_config.json",
                                                       "tokenizer.json",
                                                       "tokenizer_config.json",
                                                       "special_tokens_map.json",
                                                       "added_tokens.json",
                                                       "vocab.json",
                                                       "merges.txt",
                                                       "tokenizer.model",
                                                       "chat_template.jinja",
                                                       "chat_template.json",
                                                       "additional_chat_templates.json"};

std::string_view torch_name(StorageType type) {
  return type == StorageType::float32 ? "float32" : type == StorageType::float16 ? "float16" : "bfloat16";
}

bool is_hugging_face(const BaseFiles& base) {
  return base.kind() == "huggingface";
}

ordered_json config_of_directory(const std::string& directory) {
  const MappedFile file((fs::path(directory) / "config.json").string());
  // open_base has checked it.
  ordered_json config =
      ordered_json::parse(std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()));
  for (const char* key : {"_name_or_path", "transformers_version"}) config.erase(key);
  return config;
}

ordered_json config_of_gguf(const BaseFiles& base) {
  const ModelConfig& model = base.config();
  ordered_json config;
  config["model_type"] = "llama";
  config["vocab_size"] = model.vocabulary;
  config["hidden_size"] = model.hidden;
  config["intermediate_size"] = model.feed_forward;
  config["num_hidden_layers"] = model.layers;
  config["num_attention_heads"] = model.heads;
  config["num_key_value_heads"] = model.kv_heads;
  config["head_dim"] = model.head_dim;
  config["hidden_act"] = "silu";
  config["max_position_embeddings"] = model.context_length;
  // The files hold float32 values of decimal numbers: the shortest text that gives the same float is meant.
  config["rms_norm_eps"] = std::stod(fmt::format("{}", static_cast<float>(model.rms_epsilon)));
  config["tie_word_embeddings"] = model.tied_head;
  config["attention_bias"] = model.attention_bias;
  config["mlp_bias"] = model.mlp_bias;
  const GgufFile file(base.path());
  const auto token = [&](const char* key, const char* gguf_key) {
    const auto id = file.metadata().find_unsigned(gguf_key);
    config[key] = id ? ordered_json(*id) : ordered_json();
  };
  token("bos_token_id", "tokenizer.ggml.bos_token_id");
  token("eos_token_id", "tokenizer.ggml.eos_token_id");
  token("pad_token_id", "tokenizer.ggml.padding_token_id");
  return config;
}

void set_rope(const ModelConfig& model, ordered_json& config) {
  ordered_json scaling;
  const RopeScaling& rope = model.rope_scaling;
  if (rope.kind != "none") {
    scaling["rope_type"] = rope.kind;
    scaling["factor"] = rope.factor;
  }
  if (rope.kind == "llama3") {
    scaling["low_freq_factor"] = rope.low_frequency_factor;
    scaling["high_freq_factor"] = rope.high_frequency_factor;
    scaling["original_max_position_embeddings"] = static_cast<std::int64_t>(rope.original_context);
  }
  config["rope_theta"] = model.rope_theta;
  config["rope_scaling"] = scaling;
  ordered_json parameters = scaling.is_null() ? ordered_json{{"rope_type", "default"}} : scaling;
  parameters["rope_theta"] = model.rope_theta;
  config["rope_parameters"] = parameters;
}

}  // namespace

std::string merged_config(const BaseFiles& base, StorageType type) {
  ordered_json config = is_hugging_face(base) ? config_of_directory(base.path()) : config_of_gguf(base);
  config["architectures"] = {"LlamaForCausalLM"};
  config["dtype"] = torch_name(type);
  config["torch_dtype"] = torch_name(type);
  config["tie_word_embeddings"] = base.config().tied_head;
  set_rope(base.config(), config);
  return config.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

void write_generation_and_tokenizer(const BaseFiles& base, NewDirectory& output) {
  if (!is_hugging_face(base)) {
    const GgufFile file(base.path());
    try {
      const std::string tokenizer = gguf_tokenizer_json(file.metadata(), base.path());
      const std::string config = gguf_tokenizer_config(file.metadata(), base.path());
      output.write("tokenizer.json", tokenizer);
      output.write("tokenizer_config.json", config);
    } catch (const InputError& error) {
      spdlog::warn("the merged model gets no tokenizer files: {}", error.what());
    }
    return;
  }
  bool tokenizer = false;
  for (const std::string_view name : kCompanions) {
    const fs::path from = fs::path(base.path()) / name;
    std::error_code ignored;
    if (!fs::is_regular_file(from, ignored) || fs::file_size(from, ignored) == 0) continue;
    output.copy(std::string(name), from.string());
    tokenizer = tokenizer || name == "tokenizer.json" || name == "tokenizer.model" || name == "vocab.json";
  }
  if (!tokenizer) {
    spdlog::warn("{} holds no tokenizer, so the merged model gets none; take it from where the base came from",
                 base.path());
  }
}

}  // namespace chorale
