// "dotted.key=value" from the command line, laid over the tree of the recipe file.
#pragma once

#include <string>

#include "launch/recipe/mistakes.hpp"
#include "launch/recipe/yaml_tree.hpp"

namespace chorale::recipe {

/// Sets the value at the dotted key (value parsed as YAML; list items by index), creating maps on the way; whether the
/// keys are known is for the reader of the section to say.
void apply_override(Node& root, const std::string& text, Mistakes& mistakes);

}  // namespace chorale::recipe
