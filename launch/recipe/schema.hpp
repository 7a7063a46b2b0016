// The keys of a recipe as a table: what the parser accepts and what recipes/README.md prints come from here.
#pragma once

#include <string_view>
#include <vector>

namespace chorale::recipe {

struct Key {
  std::string_view name;
  std::string_view type;      // as a reader of the reference sees it, e.g. "integer >= 1"
  std::string_view fallback;  // the default as YAML, "required", or how it is derived
  std::string_view meaning;
};

/// One map of the recipe.
struct Section {
  std::string_view path;  // dotted, "data.shifted[]" for the items of a list, "" for the recipe itself
  std::vector<Key> keys;  // in documented order
};

/// All sections in documented order.
[[nodiscard]] const std::vector<const Section*>& all_sections();

}  // namespace chorale::recipe
