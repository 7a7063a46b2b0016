// What is worth a remark about a recipe without being a mistake.
#pragma once

#include <string>
#include <vector>

#include "launch/recipe/recipe.hpp"

namespace chorale {

/// Remarks such as "no temperature-scaled rows without data.validation", one sentence each; often none.
[[nodiscard]] std::vector<std::string> recipe_notes(const Recipe& recipe);

}  // namespace chorale
