#include "core/weights/gguf_config.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/weights/expected_tensors.hpp"

namespace chorale {
namespace {

constexpr std::string_view block_prefix = "blk.";
constexpr std::string_view layer_prefix = "model.layers.";

constexpr std::array<std::pair<std::string_view, std::string_view>, 9> layer_modules{{
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "ffn_norm"},
}};

[[noreturn]] void unsupported(const GgufFile& file, const std::string& problem) {
  throw InputError(fmt::format("{}: {}. Choose a plain Llama-family model (SmolLM2, Llama 2, TinyLlama, ...).",
                               file.path(), problem));
}

std::int64_t size_of(const GgufFile& file, std::string_view key) {
  const std::uint64_t value = file.metadata().get_unsigned(key);
  if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    throw InputError(
        fmt::format("{}: the metadata key '{}' is {}. The file is damaged: fetch it again.", file.path(), key, value));
  }
  return static_cast<std::int64_t>(value);
}

std::int64_t size_or(const GgufFile& file, std::string_view key, std::int64_t otherwise) {
  return file.metadata().find(key) == nullptr ? otherwise : size_of(file, key);
}

void read_attention(const GgufFile& file, ModelConfig& config) {
  config.heads = size_of(file, "llama.attention.head_count");
  config.kv_heads = size_or(file, "llama.attention.head_count_kv", config.heads);
  const std::int64_t even_share = config.heads > 0 ? config.hidden / config.heads : 0;
  config.head_dim = size_or(file, "llama.attention.key_length", even_share);
  const std::int64_t value_length = size_or(file, "llama.attention.value_length", config.head_dim);
  if (value_length != config.head_dim) {
    unsupported(file, fmt::format("keys have {} dimensions per head but values {}", config.head_dim, value_length));
  }
  const std::int64_t window = size_or(file, "llama.attention.sliding_window", 0);
  if (window > 0 && window < config.context_length) {
    unsupported(file,
                fmt::format("attention looks back only {} of {} tokens (llama.attention.sliding_window), which is "
                            "not supported",
                            window, config.context_length));
  }
}

// Converters have written linear interpolation in three ways: a type with a factor, a factor alone, an older key.
void read_rope(const GgufFile& file, ModelConfig& config) {
  const Metadata& metadata = file.metadata();
  constexpr std::array<std::string_view, 6> known{"llama.rope.dimension_count",
                                                  "llama.rope.freq_base",
                                                  "llama.rope.scaling.type",
                                                  "llama.rope.scaling.factor",
                                                  "llama.rope.scaling.original_context_length",
                                                  "llama.rope.scale_linear"};
  for (const auto& [key, value] : metadata.values()) {
    if (key.starts_with("llama.rope.") && std::find(known.begin(), known.end(), key) == known.end()) {
      unsupported(file, fmt::format("the rotary setting '{}' is not supported", printable(key)));
    }
  }
  const std::int64_t rotated = size_or(file, "llama.rope.dimension_count", config.head_dim);
  if (rotated != config.head_dim) {
    unsupported(file,
                fmt::format("only {} of {} dimensions per head are rotated (llama.rope.dimension_count), which is "
                            "not supported",
                            rotated, config.head_dim));
  }
  config.rope_theta = metadata.find_float("llama.rope.freq_base").value_or(10000.0);
  const double factor = metadata.find_float("llama.rope.scaling.factor")
                            .value_or(metadata.find_float("llama.rope.scale_linear").value_or(1.0));
  const std::string_view kind = metadata.find_string("llama.rope.scaling.type").value_or("linear");
  if (kind != "none" && kind != "linear") {
    unsupported(file, fmt::format("the rotary scaling '{}' is not supported in GGUF files (none and linear are)",
                                  printable(kind)));
  }
  // Some converters write 0 for "off".
  if (kind == "linear" && factor != 0.0 && factor != 1.0) {
    config.rope_scaling.kind = "linear";
    config.rope_scaling.factor = factor;
  }
  if (file.find("rope_freqs.weight") != nullptr) {
    unsupported(file,
                "the rotary frequencies are scaled by the tensor 'rope_freqs.weight' (Llama 3.1 and later), which "
                "is not supported in GGUF files: use the Hugging Face directory of the same model");
  }
}

void refuse_experts(const GgufFile& file) {
  if (const std::int64_t experts = size_or(file, "llama.expert_count", 0); experts > 0) {
    unsupported(file, fmt::format("it is a mixture of {} experts, which is not supported", experts));
  }
}

std::int64_t vocabulary_of(const GgufFile& file) {
  if (file.metadata().find("llama.vocab_size") != nullptr) {
    return size_of(file, "llama.vocab_size");
  }
  const TensorView& embedding = file.at("token_embd.weight");
  return embedding.shape.empty() ? 0 : embedding.shape.front();
}

}  // namespace

ModelConfig gguf_config(const GgufFile& file) {
  const Metadata& metadata = file.metadata();
  const std::string_view architecture = metadata.get_string("general.architecture");
  if (architecture != "llama") {
    unsupported(file, fmt::format("the architecture is '{}'; only 'llama' is supported", printable(architecture)));
  }
  refuse_experts(file);
  ModelConfig config;
  config.name = metadata.find_string("general.name").value_or("");
  config.vocabulary = vocabulary_of(file);
  config.hidden = size_of(file, "llama.embedding_length");
  config.layers = size_of(file, "llama.block_count");
  config.feed_forward = size_of(file, "llama.feed_forward_length");
  config.context_length = size_of(file, "llama.context_length");
  config.rms_epsilon = metadata.get_float("llama.attention.layer_norm_rms_epsilon");
  read_attention(file, config);
  read_rope(file, config);
  config.tied_head = file.find("output.weight") == nullptr;
  config.attention_bias = file.find("blk.0.attn_q.bias") != nullptr;
  config.mlp_bias = file.find("blk.0.ffn_gate.bias") != nullptr;
  validate(config, file.path());
  return config;
}

std::string gguf_name(std::string_view name) {
  if (name == "model.embed_tokens.weight") {
    return "token_embd.weight";
  }
  if (name == "model.norm.weight") {
    return "output_norm.weight";
  }
  if (name == "lm_head.weight") {
    return "output.weight";
  }
  if (!name.starts_with(layer_prefix)) {
    return {};
  }
  const std::string_view rest = name.substr(layer_prefix.size());
  const std::size_t first_dot = rest.find('.');
  const std::size_t last_dot = rest.rfind('.');
  if (first_dot == std::string_view::npos || first_dot == last_dot) {
    return {};
  }
  const std::string_view module = rest.substr(first_dot + 1, last_dot - first_dot - 1);
  const auto* found = std::find_if(layer_modules.begin(), layer_modules.end(),
                                   [&](const auto& entry) { return entry.first == module; });
  if (found == layer_modules.end()) {
    return {};
  }
  return fmt::format("{}{}.{}{}", block_prefix, rest.substr(0, first_dot), found->second, rest.substr(last_dot));
}

}  // namespace chorale
