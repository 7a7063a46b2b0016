#include "bench/bench_options.hpp"

#include <fmt/format.h>

#include <charconv>

#include "core/adapters/adapter_layout.hpp"
#include "core/base/errors.hpp"
#include "core/base/random.hpp"

namespace chorale::bench {
namespace {

constexpr std::int64_t kLabels = 4;

std::int64_t number(std::string_view text, std::int64_t layers) {
  std::int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value >= layers) {
    throw UsageError(
        fmt::format("--layers: '{}' is no layer below {}. Use all, top-quarter, 7 or 20-29.", text, layers));
  }
  return value;
}

// "all", "top-quarter", "7" or "20-29".
std::vector<std::int64_t> layers_named(const std::string& text, std::int64_t count) {
  if (text == "all") return {};
  std::int64_t first = count - (count + 3) / 4;
  std::int64_t last = count - 1;
  if (text != "top-quarter") {
    const std::size_t dash = text.find('-');
    first = number(std::string_view(text).substr(0, dash), count);
    last = dash == std::string::npos ? first : number(std::string_view(text).substr(dash + 1), count);
  }
  std::vector<std::int64_t> layers;
  for (std::int64_t layer = first; layer <= last; ++layer) layers.push_back(layer);
  return layers;
}

struct Work {
  double body = 0.0;       // forward, products with frozen weights
  double attention = 0.0;  // forward
  double head = 0.0;       // forward
};

Work forward_of(const Options& options, const ModelConfig& config) {
  const auto tokens = static_cast<double>(options.members * options.batch * options.sequence);
  const auto outputs = options.answer_only ? static_cast<double>(options.members * options.batch) : tokens;
  const auto layers = static_cast<double>(config.layers);
  const auto hidden = static_cast<double>(config.hidden);
  Work work;
  work.body = 2.0 * static_cast<double>(layer_weights(config)) * layers * tokens;
  work.attention = 2.0 * static_cast<double>(options.sequence * config.heads * config.head_dim) * layers * tokens;
  work.head = 2.0 * hidden * static_cast<double>(config.vocabulary) * outputs;
  return work;
}

}  // namespace

AdapterConfig adapter_of(const Options& options, const ModelConfig& model) {
  AdapterConfig adapter;
  adapter.rank = options.rank;
  adapter.alpha = 2.0 * static_cast<double>(options.rank);
  if (options.targets == "all") {
    adapter.targets = kAdapterTargets;
  } else if (options.targets == "qv") {
    adapter.targets = {"q_proj", "v_proj"};
  } else {
    throw UsageError(fmt::format("--targets: '{}' is unknown. Use qv or all.", options.targets));
  }
  adapter.layers = layers_named(options.layers, model.layers);
  return adapter;
}

ExampleSet random_examples(const Options& options, const ModelConfig& config, std::size_t batches) {
  RandomSequence random(RandomStream(3, 0, Purpose::test, 1));
  const auto vocabulary = static_cast<std::uint32_t>(config.vocabulary);
  const auto token = [&] { return static_cast<TokenId>(random.next() % vocabulary); };
  ExampleSet set;
  set.name = "train";
  set.path = "memory";
  for (std::size_t i = 0; i < batches * static_cast<std::size_t>(options.batch); ++i) {
    Example example;
    example.id = std::to_string(i);
    if (options.answer_only) {
      for (std::int64_t t = 0; t < options.sequence; ++t) example.prompt.push_back(token());
      for (std::int64_t k = 0; k < kLabels; ++k) {
        example.label_tokens.push_back(static_cast<TokenId>(10 + k));
        example.choices.push_back(std::to_string(k));
      }
      example.label = static_cast<std::int32_t>(i % kLabels);
    } else {
      example.prompt.push_back(token());
      std::vector<TokenId> answer;
      for (std::int64_t t = 0; t < options.sequence; ++t) answer.push_back(token());
      example.continuations.push_back(std::move(answer));
      example.label = 0;
    }
    set.examples.push_back(std::move(example));
  }
  return set;
}

double step_operations(const Options& options, const ModelConfig& config) {
  const Work work = forward_of(options, config);
  return 2.0 * work.body + 3.0 * work.attention + 2.0 * work.head;
}

double evaluation_operations(const Options& options, const ModelConfig& config) {
  const Work work = forward_of(options, config);
  return work.body + work.attention + work.head;
}

}  // namespace chorale::bench
