// Do the files a recipe names exist?
#pragma once

#include <string>
#include <vector>

#include "launch/recipe/mistakes.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/recipe/yaml_tree.hpp"

namespace chorale {

/// As load_recipe; a model or data file that is not there or may not be read is one more mistake in the list.
[[nodiscard]] Recipe load_recipe_and_check_files(const std::string& path, const std::vector<std::string>& overrides);

namespace recipe {

/// Notes a mistake for every path of the recipe `root` that cannot be read, placed where the path is written.
void check_files(const Node& root, Mistakes& mistakes);

}  // namespace recipe
}  // namespace chorale
