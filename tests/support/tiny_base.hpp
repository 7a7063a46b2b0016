// A random decoder of a few thousand parameters, held in memory: what tests of the model and of training run on.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/random.hpp"
#include "core/weights/base_files.hpp"

namespace chorale::test {

/// 3 layers, 4 heads over 2 key/value heads of size 8, 48 tokens: small enough for finite differences, with every ratio
/// different from every other so that a mistaken dimension cannot go unnoticed.
inline ModelConfig tiny_config() {
  ModelConfig config;
  config.name = "tiny";
  config.vocabulary = 48;
  config.hidden = 24;
  config.layers = 3;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 8;
  config.feed_forward = 20;
  config.context_length = 256;
  config.tied_head = true;
  return config;
}

class TinyBase : public BaseFiles {
 public:
  explicit TinyBase(ModelConfig config = tiny_config(), std::uint64_t seed = 7) : config_(std::move(config)) {
    const std::int64_t queries = config_.heads * config_.head_dim;
    const std::int64_t keys = config_.kv_heads * config_.head_dim;
    add("model.embed_tokens.weight", {config_.vocabulary, config_.hidden}, 1.0F, 0.0F, seed);
    add("model.norm.weight", {config_.hidden}, 0.3F, 1.0F, seed);
    if (!config_.tied_head) add("lm_head.weight", {config_.vocabulary, config_.hidden}, 1.0F, 0.0F, seed);
    for (std::int64_t i = 0; i < config_.layers; ++i) {
      const std::string layer = "model.layers." + std::to_string(i) + ".";
      add(layer + "input_layernorm.weight", {config_.hidden}, 0.3F, 1.0F, seed);
      add(layer + "post_attention_layernorm.weight", {config_.hidden}, 0.3F, 1.0F, seed);
      add(layer + "self_attn.q_proj.weight", {queries, config_.hidden}, 0.35F, 0.0F, seed);
      add(layer + "self_attn.k_proj.weight", {keys, config_.hidden}, 0.35F, 0.0F, seed);
      add(layer + "self_attn.v_proj.weight", {keys, config_.hidden}, 0.35F, 0.0F, seed);
      add(layer + "self_attn.o_proj.weight", {config_.hidden, queries}, 0.35F, 0.0F, seed);
      add(layer + "mlp.gate_proj.weight", {config_.feed_forward, config_.hidden}, 0.35F, 0.0F, seed);
      add(layer + "mlp.up_proj.weight", {config_.feed_forward, config_.hidden}, 0.35F, 0.0F, seed);
      add(layer + "mlp.down_proj.weight", {config_.hidden, config_.feed_forward}, 0.35F, 0.0F, seed);
    }
  }

  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  [[nodiscard]] const std::string& path() const override { return path_; }
  [[nodiscard]] std::string_view kind() const override { return "memory"; }
  [[nodiscard]] bool has(std::string_view name) const override { return tensors_.contains(std::string(name)); }
  [[nodiscard]] std::vector<std::int64_t> shape(std::string_view name) const override { return at(name).shape; }
  void read(std::string_view name, std::span<float> out) const override {
    const Tensor& tensor = at(name);
    CHORALE_ASSERT(out.size() == tensor.values.size(), "the reader asked for another size");
    std::copy(tensor.values.begin(), tensor.values.end(), out.begin());
  }
  void read_rows(std::string_view name, std::int64_t first, std::int64_t count, std::span<float> out) const override {
    // By way of read(), so that classes that change what it gives change rows with it.
    std::vector<float> all(at(name).values.size());
    read(name, all);
    const std::int64_t width = static_cast<std::int64_t>(all.size()) / at(name).shape[0];
    std::copy_n(all.begin() + first * width, count * width, out.begin());
  }
  void release_pages() const override {}
  [[nodiscard]] std::string fingerprint() const override { return "tiny"; }

 private:
  struct Tensor {
    std::vector<std::int64_t> shape;
    std::vector<float> values;
  };
  [[nodiscard]] const Tensor& at(std::string_view name) const {
    const auto found = tensors_.find(std::string(name));
    if (found == tensors_.end()) throw InputError("no tensor " + std::string(name));
    return found->second;
  }
  void add(const std::string& name, std::vector<std::int64_t> shape, float spread, float middle, std::uint64_t seed) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
    Tensor tensor{std::move(shape), std::vector<float>(count)};
    RandomStream(seed, 0, Purpose::test, tensors_.size()).fill_uniform(tensor.values, middle - spread, middle + spread);
    tensors_.emplace(name, std::move(tensor));
  }

  ModelConfig config_;
  std::string path_ = "memory";
  std::map<std::string, Tensor> tensors_;
};

}  // namespace chorale::test
