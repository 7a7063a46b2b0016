// Properties over random recipes: the resolved text loads to the same recipe; damaged text never does harm.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <random>

#include "launch/recipe_support.hpp"
#include "support/catch.hpp"

namespace chorale {
namespace {

// A recipe drawn at random through the same door users come in by.
std::vector<std::string> random_overrides(std::mt19937& random) {
  const auto below = [&random](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const auto pick = [&](const std::vector<std::string>& from) {
    return from[static_cast<std::size_t>(below(static_cast<int>(from.size())))];
  };
  const auto number = [&random](double low, double high) {
    return fmt::format("{}", std::uniform_real_distribution<double>(low, high)(random));
  };
  const std::vector<std::string> texts = {"'plain'",
                                          "\"two\\nlines: {question} # no comment\"",
                                          "'it''s'",
                                          "'  spaced '",
                                          "'é 漢字 🙂'",
                                          "'- dash'",
                                          "'null'",
                                          "'8'",
                                          "'yes'",
                                          "\"tab\\tend\\\\\"",
                                          "'*star &and !tag %'",
                                          "\"nel \\u0085 bom \\ufeff x\""};
  std::vector<std::string> all;
  const auto maybe = [&](const std::string& text) {
    if (below(2) == 0) all.push_back(text);
  };
  maybe("name=n-" + std::to_string(below(1000)));
  maybe(fmt::format("seed={}", (static_cast<std::uint64_t>(random()) << 32) | random()));
  maybe("base.dtype=" + pick({"bfloat16", "float8", "nf4"}));
  maybe("base.device=" + pick({"auto", "cpu", "cuda"}));
  maybe("base.path='" + pick({"a b/c.gguf", "1", "true", "m,x", "é"}) + "'");
  maybe("data.train.limit=" + std::to_string(1 + below(1000)));
  maybe("data.validation=" + pick({"null", "{path: v.csv, limit: 3}", "{fraction: 0.333}"}));
  maybe("data.test=null");
  maybe("data.shifted=" + pick({"[]", "[{name: s1, path: 'x y', labelled: false, limit: 7}, {name: s.2, path: z}]"}));
  maybe("data.too_long=" + pick({"skip", "truncate_left"}));
  const std::string prompt = pick(texts);
  const std::string with_fields = prompt.substr(0, 1) + "{question} {choices} " +
                                  (prompt.find('{') == prompt.npos ? prompt.substr(1) : prompt.substr(0, 1));
  all.push_back("task.prompt=" + with_fields);
  if (below(2) == 0) {
    // Options are single lines.
    std::string option = pick(texts);
    while (option.find("\\n") != option.npos || option.find("\\t") != option.npos) option = pick(texts);
    all.push_back("task.choices=[" + option + ", '1', \"x: y\"]");
  }
  if (below(2) == 0) {
    all.push_back("task.scoring=option_likelihood");
  } else {
    maybe("task.labels=letters");
  }
  const int members = 1 + below(4);
  all.push_back("ensemble.members=" + std::to_string(members));
  maybe("ensemble.vary=" + pick({"[]", "[initialisation]", "[data_order]"}));
  maybe("adapter.alpha=" + number(1e-6, 64));
  maybe("adapter.dropout=" + number(0, 0.99));
  maybe("adapter.scaling=rank_stabilised");
  maybe("adapter.targets=" + pick({"all_linear", "[o_proj]", "[down_proj, q_proj]"}));
  maybe("adapter.layers=" + pick({"all", "3", "20-29", "[0, 2-4, 9]"}));
  maybe(pick({"training.steps=9", "training.epochs=7"}));
  maybe("training.micro_batch_size=" + pick({"auto", "2"}));
  maybe("training.recompute=" + pick({"light", "full"}));
  maybe("training.optimiser={beta1: " + number(0, 0.999) + ", epsilon: 1.0e-12}");
  if (below(2) == 0) {
    std::string rates;
    for (int i = 0; i < members; ++i) rates += (i == 0 ? "" : ", ") + number(1e-7, 1);
    all.push_back("training.learning_rate=[" + rates + "]");
  }
  maybe("training.schedule={kind: " + pick({"constant", "linear"}) + ", warmup_fraction: " + number(0, 1) + "}");
  maybe("training.weight_decay={A: " + number(0, 1) + "}");
  maybe("training.clip_norm=" + pick({"null", "0.25"}));
  maybe("training.regularisers=[{kind: kl_to_base, weight: " + number(0, 2) + "}]");
  maybe("training.prefix_cache=" + pick({"off", "3GiB", "1025", "1536KiB"}));
  maybe("evaluation={bootstrap: 0, temperature: false, ece_bins: 10}");
  maybe("checkpoint.keep=5");
  maybe("checkpoint.every_minutes=0.7");
  maybe("checkpoint.on_failure=continue");
  maybe("output.directory=" + pick({"'runs/x y'", "'0'", "/tmp/z"}));
  maybe("distributed={backend: mpi, groups: 3, deterministic: true}");
  return all;
}

bool same(const std::optional<DataFileConfig>& left, const std::optional<DataFileConfig>& right) {
  if (left.has_value() != right.has_value()) return false;
  return !left || (left->name == right->name && left->path == right->path && left->limit == right->limit &&
                   left->labelled == right->labelled);
}

void require_same(const Recipe& left, const Recipe& right) {
  REQUIRE(left.name == right.name);
  REQUIRE(left.seed == right.seed);
  REQUIRE(left.base.path == right.base.path);
  REQUIRE(left.base.dtype == right.base.dtype);
  REQUIRE(left.base.device == right.base.device);
  REQUIRE(same(left.data.train, right.data.train));
  REQUIRE(same(left.data.validation, right.data.validation));
  REQUIRE(left.data.validation_fraction == right.data.validation_fraction);
  REQUIRE(same(left.data.test, right.data.test));
  REQUIRE(std::equal(left.data.shifted.begin(), left.data.shifted.end(), right.data.shifted.begin(),
                     right.data.shifted.end(),
                     [](const auto& a, const auto& b) { return same(std::optional(a), std::optional(b)); }));
  REQUIRE(left.data.max_tokens == right.data.max_tokens);
  REQUIRE(left.data.too_long == right.data.too_long);
  REQUIRE(left.task.kind == right.task.kind);
  REQUIRE(left.task.prompt == right.task.prompt);
  REQUIRE(left.task.choices_field == right.task.choices_field);
  REQUIRE(left.task.fixed_choices == right.task.fixed_choices);
  REQUIRE(left.task.answer == right.task.answer);
  REQUIRE(left.task.scoring == right.task.scoring);
  REQUIRE(left.task.labels == right.task.labels);
  REQUIRE(left.ensemble.members == right.ensemble.members);
  REQUIRE(left.ensemble.vary_initialisation == right.ensemble.vary_initialisation);
  REQUIRE(left.ensemble.vary_data_order == right.ensemble.vary_data_order);
  REQUIRE(left.adapter.kind == right.adapter.kind);
  REQUIRE(left.adapter.rank == right.adapter.rank);
  REQUIRE(left.adapter.alpha == right.adapter.alpha);
  REQUIRE(left.adapter.scaling == right.adapter.scaling);
  REQUIRE(left.adapter.dropout == right.adapter.dropout);
  REQUIRE(left.adapter.targets == right.adapter.targets);
  REQUIRE(left.adapter.layers == right.adapter.layers);
  REQUIRE(left.training.epochs == right.training.epochs);
  REQUIRE(left.training.steps == right.training.steps);
  REQUIRE(left.training.batch_size == right.training.batch_size);
  REQUIRE(left.training.micro_batch_size == right.training.micro_batch_size);
  REQUIRE(left.training.recompute == right.training.recompute);
  REQUIRE(left.training.optimiser.kind == right.training.optimiser.kind);
  REQUIRE(left.training.optimiser.beta1 == right.training.optimiser.beta1);
  REQUIRE(left.training.optimiser.beta2 == right.training.optimiser.beta2);
  REQUIRE(left.training.optimiser.epsilon == right.training.optimiser.epsilon);
  REQUIRE(left.training.learning_rate == right.training.learning_rate);
  REQUIRE(left.training.schedule.kind == right.training.schedule.kind);
  REQUIRE(left.training.schedule.warmup_fraction == right.training.schedule.warmup_fraction);
  REQUIRE(left.training.weight_decay.a == right.training.weight_decay.a);
  REQUIRE(left.training.weight_decay.b == right.training.weight_decay.b);
  REQUIRE(left.training.clip_norm == right.training.clip_norm);
  REQUIRE(left.training.kl_to_base.has_value() == right.training.kl_to_base.has_value());
  if (left.training.kl_to_base) {
    REQUIRE(left.training.kl_to_base->weight == right.training.kl_to_base->weight);
    REQUIRE(left.training.kl_to_base->direction == right.training.kl_to_base->direction);
  }
  REQUIRE(left.training.prefix_cache == right.training.prefix_cache);
  REQUIRE(left.training.prefix_cache_bytes == right.training.prefix_cache_bytes);
  REQUIRE(left.training.log_every == right.training.log_every);
  REQUIRE(left.evaluation.batch_size == right.evaluation.batch_size);
  REQUIRE(left.evaluation.every_epochs == right.evaluation.every_epochs);
  REQUIRE(left.evaluation.ece_bins == right.evaluation.ece_bins);
  REQUIRE(left.evaluation.bootstrap == right.evaluation.bootstrap);
  REQUIRE(left.evaluation.temperature == right.evaluation.temperature);
  REQUIRE(left.checkpoint.every_steps == right.checkpoint.every_steps);
  REQUIRE(left.checkpoint.every_minutes == right.checkpoint.every_minutes);
  REQUIRE(left.checkpoint.keep == right.checkpoint.keep);
  REQUIRE(left.checkpoint.on_failure == right.checkpoint.on_failure);
  REQUIRE(left.output_directory == right.output_directory);
  REQUIRE(left.distributed.backend == right.distributed.backend);
  REQUIRE(left.distributed.groups == right.distributed.groups);
  REQUIRE(left.distributed.watchdog_seconds == right.distributed.watchdog_seconds);
  REQUIRE(left.distributed.deterministic == right.distributed.deterministic);
}

TEST_CASE("the resolved text gives the same recipe and is its own resolved text") {
  std::mt19937 random(20240607);
  for (int round = 0; round < 500; ++round) {
    const std::vector<std::string> overrides = random_overrides(random);
    std::string shown;
    for (const std::string& one : overrides) shown += one + "\n";
    INFO(shown);
    const Recipe recipe = with(overrides);
    const std::string text = resolved_yaml(recipe);
    INFO(text);
    const Recipe again = load_text(text);
    require_same(recipe, again);
    REQUIRE(resolved_yaml(again) == text);
  }
  const Recipe stopping = load_text(resolved_yaml(with({"training.early_stopping={metric: accuracy, patience: 9}"})));
  CHECK(stopping.training.early_stopping->metric == StoppingMetric::accuracy);
  CHECK(stopping.training.early_stopping->patience == 9);
}

TEST_CASE("damaged recipes end in a usage error, never in a crash") {
  std::mt19937 random(7);
  const std::string source = resolved_yaml(with({"training.regularisers=[{kind: kl_to_base, weight: 1}]"}));
  const std::string bytes = "{}[]:,&*!|>'\"%@`#-?\n\t \\\x80\xc3 0aeE.~";
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = source;
    for (unsigned edits = 1 + random() % 4; edits > 0; --edits) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = bytes[random() % bytes.size()];
          break;
        case 1:
          text.insert(at, 1 + random() % 3, bytes[random() % bytes.size()]);
          break;
        default:
          text.erase(at, 1 + random() % 20);
      }
      if (text.empty()) break;
    }
    refused += mistakes_of(text).empty() ? 0 : 1;
  }
  CHECK(refused > 2000);
}

}  // namespace
}  // namespace chorale
