// The example sets a recipe names, read and tokenised.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/data/task.hpp"
#include "core/tokenizer/tokenizer.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

/// What is evaluated after training.
struct EvaluationSets {
  std::optional<ExampleSet> validation;
  std::optional<ExampleSet> test;
  std::vector<ExampleSet> shifted;
};

struct DataSets {
  ExampleSet train;
  EvaluationSets evaluated;
};

/// The tokenizer of the base, whose head has `vocabulary` tokens.
struct BaseTokens {
  const Tokenizer& tokenizer;
  std::int64_t vocabulary = 0;
};

/// Reads and encodes every set, so that every mistake in the data shows before training starts. Throws UsageError when
/// the recipe names no training data, InputError for the data itself, a split that leaves a side empty, and a token
/// that the base does not have. Logs the sizes, what was skipped or cut, and once how many bytes
/// had no token.
[[nodiscard]] DataSets load_data_sets(const Recipe& recipe, const BaseTokens& base);

/// The same without the training set, which is read only where the validation set is a share of it.
[[nodiscard]] EvaluationSets load_evaluation_sets(const Recipe& recipe, const BaseTokens& base);
/// The validation set alone; nothing when the recipe has none.
[[nodiscard]] std::optional<ExampleSet> load_validation_set(const Recipe& recipe, const BaseTokens& base);
/// One file by the recipe's task, whether or not the recipe names it.
[[nodiscard]] ExampleSet load_example_set(const Recipe& recipe, const DataFileConfig& file, const BaseTokens& base);

}  // namespace chorale
