// The table of all recipe keys as Markdown, for recipes/README.md.
#pragma once

#include <string>

namespace chorale {

/// Every section with its keys, types, defaults and meanings, from the same tables the parser uses.
[[nodiscard]] std::string recipe_reference();

}  // namespace chorale
