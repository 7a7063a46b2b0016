#include "core/interop/module_pattern.hpp"

#include <fmt/format.h>

#include <vector>

namespace chorale {

ModulePattern ModulePattern::whole(std::string_view expression) {
  return ModulePattern(fmt::format(R"(\A(?:{})\z)", expression));
}

// The groups are numbered as in PEFT's own re.match(rf"(.*\.)?({key})$", name), for patterns that refer back to them.
ModulePattern ModulePattern::tail(std::string_view expression) {
  return ModulePattern(fmt::format(R"(\A(.*\.)?({})\z)", expression));
}

bool ModulePattern::matches(std::string_view module) const {
  const std::vector<TextSpan> spans = pattern_.cut(module);
  return !spans.empty() && spans.front().matched;
}

}  // namespace chorale
