#include "launch/training/data_sets.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/data/records.hpp"

namespace chorale {
namespace {

// A tokenizer may have tokens that the base lacks, such as one for padding; only their use is a mistake.
void check_tokens(const ExampleSet& set, const Tokenizer& tokenizer, std::int64_t vocabulary) {
  const auto check = [&](const Example& example, const std::vector<TokenId>& ids) {
    const auto found = std::find_if(ids.begin(), ids.end(), [&](TokenId id) { return id >= vocabulary; });
    if (found == ids.end()) return;
    throw InputError(fmt::format(
        "{}: record '{}' has the token {} '{}', but the base's vocabulary has {} tokens, 0 to {}. Use the "
        "tokenizer that belongs to the base.",
        set.path, printable(example.id), *found, printable(tokenizer.token(*found)), vocabulary, vocabulary - 1));
  };
  for (const Example& example : set.examples) {
    check(example, example.prompt);
    check(example, example.label_tokens);
    for (const std::vector<TokenId>& continuation : example.continuations) check(example, continuation);
  }
}

// Sorted data that a limit cuts off, or an answer field that says something else: nothing can be learned or measured.
void warn_of_one_label(const ExampleSet& set, const Recipe& recipe) {
  constexpr std::size_t kFewest = 10;  // fewer may well agree by chance
  if (recipe.task.kind != TaskKind::multiple_choice || set.examples.size() < kFewest) return;
  const std::int32_t label = set.examples.front().label;
  const bool same = std::all_of(set.examples.begin(), set.examples.end(),
                                [&](const Example& example) { return example.label == label; });
  if (!same || label < 0) return;
  spdlog::warn(
      "{}: all {} examples of data.{} have the same answer, '{}'. Check task.answer, and that data.{}.limit does not "
      "cut "
      "off a sorted file",
      set.path, set.examples.size(), set.name, printable(set.class_names[static_cast<std::size_t>(label)], 60),
      set.name);
}

ExampleSet encode(const RecordFile& file, const Recipe& recipe, const BaseTokens& base, const std::string& name,
                  bool labelled) {
  EncodeOptions options;
  options.name = name;
  options.labelled = labelled;
  options.max_tokens = static_cast<std::size_t>(recipe.data.max_tokens);
  options.too_long = recipe.data.too_long;
  ExampleSet set = encode_examples(file, recipe.task, base.tokenizer, options);
  check_tokens(set, base.tokenizer, base.vocabulary);
  warn_of_one_label(set, recipe);
  spdlog::info("{}: {} examples of {}{}{}", name, set.examples.size(), file.path,
               set.skipped_too_long > 0 ? fmt::format(", {} too long and skipped", set.skipped_too_long) : "",
               set.truncated > 0 ? fmt::format(", {} cut at the left", set.truncated) : "");
  return set;
}

void warn_of_dropped_bytes(const Tokenizer& tokenizer) {
  if (tokenizer.dropped_bytes() > 0) {
    spdlog::warn("{} bytes of the data have no token in this vocabulary and were dropped", tokenizer.dropped_bytes());
  }
}

// The records of data.train, and those of them that are for validation.
Split training_records(const Recipe& recipe) {
  if (!recipe.data.train) {
    throw UsageError("data.train: there is nothing to train on. Give data.train.path in the recipe.");
  }
  RecordFile all = read_records(recipe.data.train->path, recipe.data.train->limit);
  if (recipe.data.validation || recipe.data.validation_fraction <= 0.0) return {std::move(all), {}};
  return split_by_hash(all, recipe.data.validation_fraction);
}

// `split_off`: the share of the training records, when that is the validation set.
std::optional<ExampleSet> validation_set(const Recipe& recipe, const RecordFile* split_off, const BaseTokens& base) {
  if (recipe.data.validation) return load_example_set(recipe, *recipe.data.validation, base);
  if (split_off == nullptr || split_off->records.empty()) return std::nullopt;
  return encode(*split_off, recipe, base, "validation", true);
}

void load_test_and_shifted(const Recipe& recipe, const BaseTokens& base, EvaluationSets& sets) {
  if (recipe.data.test) sets.test = load_example_set(recipe, *recipe.data.test, base);
  for (const DataFileConfig& file : recipe.data.shifted) sets.shifted.push_back(load_example_set(recipe, file, base));
}

}  // namespace

DataSets load_data_sets(const Recipe& recipe, const BaseTokens& base) {
  const Split records = training_records(recipe);
  DataSets sets;
  sets.evaluated.validation = validation_set(recipe, &records.taken, base);
  sets.train = encode(records.rest, recipe, base, "train", true);
  load_test_and_shifted(recipe, base, sets.evaluated);
  warn_of_dropped_bytes(base.tokenizer);
  return sets;
}

std::optional<ExampleSet> load_validation_set(const Recipe& recipe, const BaseTokens& base) {
  if (recipe.data.validation || recipe.data.validation_fraction <= 0.0) return validation_set(recipe, nullptr, base);
  const Split records = training_records(recipe);
  return validation_set(recipe, &records.taken, base);
}

EvaluationSets load_evaluation_sets(const Recipe& recipe, const BaseTokens& base) {
  EvaluationSets sets;
  sets.validation = load_validation_set(recipe, base);
  load_test_and_shifted(recipe, base, sets);
  warn_of_dropped_bytes(base.tokenizer);
  return sets;
}

ExampleSet load_example_set(const Recipe& recipe, const DataFileConfig& file, const BaseTokens& base) {
  return encode(read_records(file.path, file.limit), recipe, base, file.name, file.labelled);
}

}  // namespace chorale
