// Random decoders of real models' shapes, made as they are read: time does not depend on what a model has learnt, and
// nothing is written to disk or kept in memory twice.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/errors.hpp"
#include "core/weights/base_files.hpp"

namespace chorale::bench {

/// tiny, 125m, smollm2 (SmolLM2-135M), 0.5b (as Qwen2.5-0.5B, without its biases), 1b (as Llama-3.2-1B), 8b (as
/// Llama-3.1-8B). Throws UsageError for another name.
inline ModelConfig shape_named(const std::string& name) {
  const auto shape = [&](std::int64_t hidden, std::int64_t layers, std::int64_t heads, std::int64_t kv_heads,
                         std::int64_t feed_forward, std::int64_t vocabulary, bool tied) {
    ModelConfig config;
    config.name = name;
    config.hidden = hidden;
    config.layers = layers;
    config.heads = heads;
    config.kv_heads = kv_heads;
    config.head_dim = hidden / heads;
    config.feed_forward = feed_forward;
    config.vocabulary = vocabulary;
    config.tied_head = tied;
    config.context_length = 8192;
    return config;
  };
  if (name == "tiny") return shape(192, 6, 6, 6, 512, 4096, true);
  if (name == "125m") return shape(768, 12, 12, 12, 2048, 32000, false);
  if (name == "smollm2") return shape(576, 30, 9, 3, 1536, 49152, true);
  if (name == "0.5b") return shape(896, 24, 14, 2, 4864, 151936, true);
  if (name == "1b") return shape(2048, 16, 32, 8, 8192, 128256, true);
  if (name == "8b") return shape(4096, 32, 32, 8, 14336, 128256, false);
  throw UsageError(fmt::format("--shape: there is no shape '{}'. Use tiny, 125m, smollm2, 0.5b, 1b or 8b.", name));
}

/// Matrices uniform with a standard deviation of 0.02, as transformers initialises them; norms of ones.
class BenchBase : public BaseFiles {
 public:
  explicit BenchBase(ModelConfig config) : config_(std::move(config)) {
    const std::int64_t queries = config_.heads * config_.head_dim;
    const std::int64_t keys = config_.kv_heads * config_.head_dim;
    const std::int64_t hidden = config_.hidden;
    add("model.embed_tokens.weight", {config_.vocabulary, hidden});
    add("model.norm.weight", {hidden});
    if (!config_.tied_head) add("lm_head.weight", {config_.vocabulary, hidden});
    for (std::int64_t i = 0; i < config_.layers; ++i) {
      const std::string layer = fmt::format("model.layers.{}.", i);
      add(layer + "input_layernorm.weight", {hidden});
      add(layer + "post_attention_layernorm.weight", {hidden});
      add(layer + "self_attn.q_proj.weight", {queries, hidden});
      add(layer + "self_attn.k_proj.weight", {keys, hidden});
      add(layer + "self_attn.v_proj.weight", {keys, hidden});
      add(layer + "self_attn.o_proj.weight", {hidden, queries});
      add(layer + "mlp.gate_proj.weight", {config_.feed_forward, hidden});
      add(layer + "mlp.up_proj.weight", {config_.feed_forward, hidden});
      add(layer + "mlp.down_proj.weight", {hidden, config_.feed_forward});
    }
  }

  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  [[nodiscard]] const std::string& path() const override { return path_; }
  [[nodiscard]] std::string_view kind() const override { return "memory"; }
  [[nodiscard]] bool has(std::string_view name) const override { return tensors_.contains(std::string(name)); }
  [[nodiscard]] std::vector<std::int64_t> shape(std::string_view name) const override { return at(name).shape; }
  void read(std::string_view name, std::span<float> out) const override { fill(at(name), 0, out); }
  void read_rows(std::string_view name, std::int64_t first, std::int64_t count, std::span<float> out) const override {
    const Tensor& tensor = at(name);
    const std::int64_t width =
        std::accumulate(tensor.shape.begin() + 1, tensor.shape.end(), std::int64_t{1}, std::multiplies<>());
    CHORALE_ASSERT(static_cast<std::int64_t>(out.size()) == count * width, "the reader asked for another size");
    fill(tensor, static_cast<std::uint64_t>(first * width), out);
  }
  void release_pages() const override {}
  [[nodiscard]] std::string fingerprint() const override { return "random"; }

 private:
  struct Tensor {
    std::vector<std::int64_t> shape;
    std::uint32_t number = 0;
  };
  [[nodiscard]] const Tensor& at(std::string_view name) const {
    const auto found = tensors_.find(std::string(name));
    if (found == tensors_.end()) throw InputError("no tensor " + std::string(name));
    return found->second;
  }
  void add(const std::string& name, std::vector<std::int64_t> shape) {
    tensors_.emplace(name, Tensor{std::move(shape), static_cast<std::uint32_t>(tensors_.size() + 1)});
  }
  // A hash of the element's number: a loop that vectorises, because an 8b model has 8e9 of them.
  static void fill(const Tensor& tensor, std::uint64_t first, std::span<float> out) {
    if (tensor.shape.size() == 1) {
      std::fill(out.begin(), out.end(), 1.0F);
      return;
    }
    const auto start = static_cast<std::uint32_t>(first) + tensor.number * 0x9E3779B9U;
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::uint32_t x = (start + static_cast<std::uint32_t>(i)) * 0x85EBCA6BU;
      x = (x ^ (x >> 13U)) * 0xC2B2AE35U;
      x ^= x >> 16U;
      // 24 bits, in (-1, 1), times 0.02 * sqrt(3).
      out[i] = (static_cast<float>(static_cast<std::int32_t>(x >> 8U)) * 0x1p-23F - 1.0F) * 0.0346410F;
    }
  }

  ModelConfig config_;
  std::string path_ = "memory";
  std::map<std::string, Tensor, std::less<>> tensors_;
};

}  // namespace chorale::bench
