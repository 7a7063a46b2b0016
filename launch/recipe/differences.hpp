// What changed between the recipe a run was begun with and the one it is to go on with.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "launch/recipe/recipe.hpp"

namespace chorale {

/// One dotted key (items of lists by index) whose values differ; a value is empty where its recipe lacks the key.
struct RecipeDifference {
  std::string key;
  std::string before;
  std::string after;

  bool operator==(const RecipeDifference&) const = default;
};

/// Every dotted key of a resolved recipe with its value, in the recipe's order; lists by index. UsageError when it is
/// not YAML as the recipe reader takes it.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> recipe_settings(const std::string& resolved_yaml);

/// All of them between two resolved recipes, in the order of the new one, then what only the old one has. UsageError
/// when one is not YAML as the recipe reader takes it.
[[nodiscard]] std::vector<RecipeDifference> recipe_differences(const std::string& old_resolved_yaml,
                                                               const std::string& new_resolved_yaml);

/// UsageError, one line per key, when `recipe` changes what must stay as it was for a resumed run to be the same run.
/// May change: training.epochs, training.steps, evaluation, checkpoint, output, distributed, data.shifted, data.test;
/// ensemble.members may grow, and with it the list of learning rates. `stored_recipe` is resolved YAML, maybe of an
/// earlier version of this program: keys that are new since then have their defaults. `where` names its place in the
/// messages.
void check_resumable(const std::string& stored_recipe, const Recipe& recipe, const std::string& where);

}  // namespace chorale
