// Enumerations and the words a recipe uses for them, for reading and for writing.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace chorale::recipe {

template <typename Value, std::size_t Count>
using Names = std::array<std::pair<std::string_view, Value>, Count>;

template <typename Value, std::size_t Count>
[[nodiscard]] std::string name_of(const Names<Value, Count>& names, Value value) {
  for (const auto& [name, named] : names) {
    if (named == value) return std::string(name);
  }
  return std::string(names.front().first);
}

}  // namespace chorale::recipe
