#include "core/weights/expected_tensors.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

// Far above every published decoder, and small enough that products of two sizes fit into 64 bits.
constexpr std::int64_t largest_size = std::int64_t{1} << 31;
constexpr std::int64_t most_layers = 4096;

class Lister {
 public:
  void add(std::string name, std::vector<std::int64_t> shape) { add_rotary(std::move(name), std::move(shape), 0); }
  void add_rotary(std::string name, std::vector<std::int64_t> shape, std::int64_t heads) {
    tensors_.push_back({std::move(name), std::move(shape), heads});
  }
  /// A linear [out, in] and, where the family has one, its bias [out].
  void add_linear(const std::string& module, std::int64_t out, std::int64_t in, bool bias, std::int64_t heads = 0) {
    add_rotary(module + ".weight", {out, in}, heads);
    if (bias) {
      add_rotary(module + ".bias", {out}, heads);
    }
  }
  std::vector<ExpectedTensor> take() { return std::move(tensors_); }

 private:
  std::vector<ExpectedTensor> tensors_;
};

}  // namespace

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
  const std::int64_t query = config.heads * config.head_dim;
  const std::int64_t key_value = config.kv_heads * config.head_dim;
  Lister list;
  list.add("model.embed_tokens.weight", {config.vocabulary, config.hidden});
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i);
    const std::string attention = layer + "self_attn.";
    const std::string mlp = layer + "mlp.";
    list.add(layer + "input_layernorm.weight", {config.hidden});
    list.add_linear(attention + "q_proj", query, config.hidden, config.attention_bias, config.heads);
    list.add_linear(attention + "k_proj", key_value, config.hidden, config.attention_bias, config.kv_heads);
    list.add_linear(attention + "v_proj", key_value, config.hidden, config.attention_bias);
    list.add_linear(attention + "o_proj", config.hidden, query, config.attention_bias);
    list.add(layer + "post_attention_layernorm.weight", {config.hidden});
    list.add_linear(mlp + "gate_proj", config.feed_forward, config.hidden, config.mlp_bias);
    list.add_linear(mlp + "up_proj", config.feed_forward, config.hidden, config.mlp_bias);
    list.add_linear(mlp + "down_proj", config.hidden, config.feed_forward, config.mlp_bias);
  }
  list.add("model.norm.weight", {config.hidden});
  if (!config.tied_head) {
    list.add("lm_head.weight", {config.vocabulary, config.hidden});
  }
  return list.take();
}

std::int64_t parameter_count(const ModelConfig& config) {
  std::int64_t total = 0;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    std::int64_t elements = 1;
    for (const std::int64_t size : tensor.shape) {
      elements *= size;
    }
    total += elements;
  }
  return total;
}

void validate(const ModelConfig& config, const std::string& where) {
  const std::array<std::pair<std::string_view, std::int64_t>, 8> sizes{{{"vocabulary size", config.vocabulary},
                                                                        {"hidden size", config.hidden},
                                                                        {"number of layers", config.layers},
                                                                        {"number of heads", config.heads},
                                                                        {"number of key-value heads", config.kv_heads},
                                                                        {"head dimension", config.head_dim},
                                                                        {"feed-forward size", config.feed_forward},
                                                                        {"context length", config.context_length}}};
  const auto refuse = [&](const std::string& problem) {
    throw InputError(fmt::format(
        "{}: {}. The file is damaged, or no decoder of the Llama family: fetch it again, or choose another model.",
        where, problem));
  };
  for (const auto& [name, value] : sizes) {
    if (value < 1 || value > largest_size) {
      refuse(fmt::format("the {} is {}", name, value));
    }
  }
  if (config.layers > most_layers) {
    refuse(fmt::format("the number of layers is {}, more than {}", config.layers, most_layers));
  }
  if (config.heads * config.head_dim > largest_size) {
    refuse(fmt::format("{} heads of {} are too large", config.heads, config.head_dim));
  }
  if (config.heads % config.kv_heads != 0) {
    refuse(fmt::format("{} heads do not divide into {} groups of key-value heads", config.heads, config.kv_heads));
  }
  if (config.head_dim % 2 != 0) {
    refuse(fmt::format("the head dimension {} is odd, so that rotary pairs are impossible", config.head_dim));
  }
  const auto positive = [](double value) { return std::isfinite(value) && value > 0.0; };
  const RopeScaling& scaling = config.rope_scaling;
  if (!positive(config.rms_epsilon) || !positive(config.rope_theta)) {
    refuse(fmt::format("RMS epsilon {} or rotary base {} is not a positive number", config.rms_epsilon,
                       config.rope_theta));
  }
  if (!positive(scaling.factor) || !positive(scaling.low_frequency_factor) || !positive(scaling.original_context) ||
      !(std::isfinite(scaling.high_frequency_factor) && scaling.high_frequency_factor > scaling.low_frequency_factor)) {
    refuse(
        fmt::format("the rotary scaling '{}' has impossible constants (factor {}, low {}, high {}, original context "
                    "{})",
                    scaling.kind, scaling.factor, scaling.low_frequency_factor, scaling.high_frequency_factor,
                    scaling.original_context));
  }
}

}  // namespace chorale
