#include "launch/recipe/data_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/base/printable.hpp"

namespace chorale {

std::string data_set_name_problem(const std::string& name) {
  constexpr std::size_t kLongestName = 64;
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c) != 0) || c == '_' || c == '-' || c == '.';
  });
  if (!plain || name.empty() || name.front() == '.') {
    return fmt::format("'{}' is no name for a data set; use letters, digits, '_' and '-'", printable(name, 60));
  }
  if (name.size() > kLongestName) return fmt::format("is longer than {} characters; shorten it", kLongestName);
  return "";
}

}  // namespace chorale
