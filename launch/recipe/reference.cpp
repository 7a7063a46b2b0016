#include "launch/recipe/reference.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "launch/recipe/schema.hpp"

namespace chorale {
namespace {

// A bar would end the table's cell.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char letter : text) escaped += letter == '|' ? std::string("\\|") : std::string(1, letter);
  return escaped;
}

}  // namespace

std::string recipe_reference() {
  std::string text;
  for (const recipe::Section* section : recipe::all_sections()) {
    text += section->path.empty() ? std::string("### The recipe\n\n") : fmt::format("### `{}`\n\n", section->path);
    text += "| key | type | default | meaning |\n| --- | --- | --- | --- |\n";
    for (const recipe::Key& key : section->keys) {
      text += fmt::format("| `{}` | {} | {} | {} |\n", key.name, key.type, key.fallback, cell(key.meaning));
    }
    text += "\n";
  }
  text.pop_back();
  return text;
}

}  // namespace chorale
