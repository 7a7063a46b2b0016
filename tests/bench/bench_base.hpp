// Random decoders of real models' shapes, held in memory: time does not depend on what a model has learnt.
#pragma once

#include <fmt/format.h>

#include "core/base/errors.hpp"
#include "support/tiny_base.hpp"

namespace chorale::bench {

/// tiny (quick), 125m (a mid-sized untied decoder), smollm2 (SmolLM2-135M). Throws UsageError for another name.
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
    config.context_length = 2048;
    return config;
  };
  if (name == "tiny") return shape(192, 6, 6, 6, 512, 4096, true);
  if (name == "125m") return shape(768, 12, 12, 12, 2048, 32000, false);
  if (name == "smollm2") return shape(576, 30, 9, 3, 1536, 49152, true);
  throw UsageError(fmt::format("--shape: there is no shape '{}'. Use tiny, 125m or smollm2.", name));
}

/// The random decoder of the tests, its matrices a tenth as large: at a real model's width the tests' values would
/// saturate every softmax.
class BenchBase : public test::TinyBase {
 public:
  explicit BenchBase(const ModelConfig& config) : test::TinyBase(config) {}

  void read(std::string_view name, std::span<float> out) const override {
    test::TinyBase::read(name, out);
    shrink(name, out);
  }
  void read_rows(std::string_view name, std::int64_t first, std::int64_t count, std::span<float> out) const override {
    test::TinyBase::read_rows(name, first, count, out);
    shrink(name, out);
  }

 private:
  static void shrink(std::string_view name, std::span<float> out) {
    if (name.find("norm") != std::string_view::npos) return;
    for (float& value : out) value *= 0.1F;
  }
};

}  // namespace chorale::bench
