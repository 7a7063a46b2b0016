#include "launch/training/same_inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>

#include "core/base/errors.hpp"
#include "core/base/interruption.hpp"
#include "core/base/printable.hpp"
#include "core/base/sha256.hpp"
#include "core/weights/expected_tensors.hpp"
#include "launch/recipe/differences.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kWholeBase = std::int64_t{1} << 28;  // parameters up to which all of them are looked at
constexpr std::int64_t kSampledRows = 4;                    // of each tensor of a larger base
constexpr std::size_t kShownKeys = 5;

template <typename Number>
void add(Sha256& hash, const std::vector<Number>& numbers) {
  const std::uint64_t count = numbers.size();
  hash.update(std::as_bytes(std::span(&count, 1)));
  hash.update(std::as_bytes(std::span(numbers)));
}

void add(Sha256& hash, const std::string& text) {
  add(hash, std::vector<char>(text.begin(), text.end()));
}

std::string who(const World& world) {
  return fmt::format("rank {} on {}", world.rank(), world.host());
}

std::string value_or_nothing(const std::string& value) {
  return value.empty() ? "nothing" : printable(value, 60);
}

// "training.seed is 3 there and 4 on rank 0"
std::string described(const std::vector<RecipeDifference>& differences) {
  std::string text;
  for (std::size_t i = 0; i < std::min(differences.size(), kShownKeys); ++i) {
    const RecipeDifference& one = differences[i];
    text += fmt::format("{}{} is {} there and {} on rank 0", i == 0 ? "" : ", ", one.key, value_or_nothing(one.after),
                        value_or_nothing(one.before));
  }
  if (differences.size() > kShownKeys) text += fmt::format(", and {} more keys", differences.size() - kShownKeys);
  return text;
}

// Rows spread over a tensor, values and all.
void add_sample(Sha256& hash, const BaseFiles& base, const ExpectedTensor& tensor) {
  const std::int64_t rows = tensor.shape.front();
  const std::int64_t width = tensor.shape.size() > 1 ? tensor.shape[1] : 1;
  std::vector<float> row(static_cast<std::size_t>(width));
  const std::int64_t sampled = std::min(rows, kSampledRows);
  for (std::int64_t i = 0; i < sampled; ++i) {
    base.read_rows(tensor.name, sampled > 1 ? i * (rows - 1) / (sampled - 1) : 0, 1, row);
    add(hash, row);
  }
}

std::string configuration(const ModelConfig& config) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {}", config.family, config.vocabulary, config.hidden,
                     config.layers, config.heads, config.kv_heads, config.head_dim, config.feed_forward,
                     config.rms_epsilon, config.rope_theta, config.rope_scaling.kind, config.rope_scaling.factor,
                     config.tied_head, config.attention_bias, config.mlp_bias);
}

}  // namespace

std::string digest_of(const ExampleSet& set) {
  Sha256 hash;
  for (const Example& example : set.examples) {
    add(hash, example.id);
    add(hash, example.prompt);
    add(hash, example.label_tokens);
    for (const std::vector<TokenId>& continuation : example.continuations) add(hash, continuation);
    for (const std::string& choice : example.choices) add(hash, choice);
    add(hash, std::vector<std::int32_t>{example.label});
  }
  return hash.finish();
}

std::string digest_of(const BaseFiles& base) {
  Sha256 hash;
  add(hash, configuration(base.config()));
  const bool whole = parameter_count(base.config()) <= kWholeBase;
  if (whole) add(hash, base.fingerprint());
  for (const ExpectedTensor& tensor : expected_tensors(base.config())) {
    if (whole || !base.has(tensor.name)) continue;
    stop_if_asked("tensor");
    add(hash, tensor.name);
    add_sample(hash, base, tensor);
  }
  return hash.finish();
}

void check_same_recipe(const Recipe& recipe, World& world) {
  if (world.size() == 1) return;
  world.together([&] {
    const std::string mine = resolved_yaml(recipe);
    const std::string first = world.broadcast(mine);
    if (mine == first) return;
    throw UsageError(fmt::format("{} has another recipe than rank 0: {}. Give all ranks the same file.", who(world),
                                 described(recipe_differences(first, mine))));
  });
}

void check_same_data(const std::vector<const ExampleSet*>& sets, World& world) {
  if (world.size() == 1) return;
  std::string mine;
  world.together([&] {
    nlohmann::json table = nlohmann::json::array();
    for (const ExampleSet* set : sets) {
      table.push_back({{"name", set->name}, {"examples", set->examples.size()}, {"digest", digest_of(*set)}});
    }
    mine = table.dump();
  });
  world.together([&] {
    const nlohmann::json first = nlohmann::json::parse(world.broadcast(mine));
    const nlohmann::json own = nlohmann::json::parse(mine);
    for (std::size_t i = 0; i < std::min(first.size(), own.size()); ++i) {
      if (own[i] == first[i]) continue;
      throw InputError(
          fmt::format("{}: {} has read other {} examples from it than rank 0 ({} there, {} on rank 0). Give all hosts "
                      "the same data and tokenizer files.",
                      printable(sets[i]->path, 200), who(world), sets[i]->name, own[i]["examples"].get<std::size_t>(),
                      first[i]["examples"].get<std::size_t>()));
    }
    if (first.size() != own.size()) {
      throw InputError(fmt::format("{} has {} data sets, rank 0 {}. Give all hosts the same data files.", who(world),
                                   own.size(), first.size()));
    }
  });
}

void check_same_base(const BaseFiles& base, World& world) {
  if (world.size() == 1) return;
  std::string mine;
  world.together([&] { mine = digest_of(base); });
  world.together([&] {
    if (mine == world.broadcast(mine)) return;
    throw InputError(fmt::format("{}: {} has another base model there than rank 0. Give all hosts the same files.",
                                 printable(base.path(), 200), who(world)));
  });
}

}  // namespace chorale
