// Ranks that start from different things would train a mixture of them, or wait for each other for ever.
#pragma once

#include <string>
#include <vector>

#include "core/data/task.hpp"
#include "core/weights/base_files.hpp"
#include "distributed/world.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

// Each of these compares every rank's with rank 0's and is collective over all ranks. What differs anywhere is an error
// on all ranks that names the lowest such rank, its host and what differs.

/// The recipe with all defaults and overrides: UsageError with the keys and both values.
void check_same_recipe(const Recipe& recipe, World& world);

/// The examples of the sets as they were read and encoded, and so the tokenizer: InputError with set and file.
void check_same_data(const std::vector<const ExampleSet*>& sets, World& world);

/// The base: its configuration, the shapes of all tensors and a sample of their values (all of them where it is small;
/// several gigabytes are not read twice by every rank). InputError.
void check_same_base(const BaseFiles& base, World& world);

/// A digest of the examples of `set`, for check_same_data.
[[nodiscard]] std::string digest_of(const ExampleSet& set);
/// A digest of `base`, for check_same_base.
[[nodiscard]] std::string digest_of(const BaseFiles& base);

}  // namespace chorale
