// The example sets a recipe names, read and tokenised.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/data/task.hpp"
#include "core/tokenizer/tokenizer.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

struct DataSets {
  ExampleSet train;
  std::optional<ExampleSet> validation;
  std::optional<ExampleSet> test;
  std::vector<ExampleSet> shifted;
};

/// Reads and encodes every set, so that every mistake in the data shows before training starts. Throws UsageError when
/// the recipe names no training data, InputError for the data itself, a split that leaves a side empty, and a token
/// that a base with `vocabulary` tokens does not have. Logs the sizes, what was skipped or cut, and once how many bytes
/// had no token.
[[nodiscard]] DataSets load_data_sets(const Recipe& recipe, const Tokenizer& tokenizer, std::int64_t vocabulary);

}  // namespace chorale
