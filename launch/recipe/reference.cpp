#include "launch/recipe/reference.hpp"

#include <fmt/format.h>

#include "launch/recipe/schema.hpp"

namespace chorale {

std::string recipe_reference() {
  std::string text;
  for (const recipe::Section* section : recipe::all_sections()) {
    text += section->path.empty() ? std::string("### The recipe\n\n") : fmt::format("### `{}`\n\n", section->path);
    text += "| key | type | default | meaning |\n| --- | --- | --- | --- |\n";
    for (const recipe::Key& key : section->keys) {
      text += fmt::format("| `{}` | {} | {} | {} |\n", key.name, key.type, key.fallback, key.meaning);
    }
    text += "\n";
  }
  text.pop_back();
  return text;
}

}  // namespace chorale
