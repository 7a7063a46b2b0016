// Regular expressions over module names, as adapter files of Python tools carry them.
#pragma once

#include <string>
#include <string_view>

#include "core/tokenizer/pattern.hpp"

namespace chorale {

/// A name pattern of adapter_config.json. PEFT hands them to Python's `re`; PCRE2 reads the same language but for rare
/// constructions, and gives up on patterns that would never end.
class ModulePattern {
 public:
  /// The whole name must match, as a `target_modules` string does.
  [[nodiscard]] static ModulePattern whole(std::string_view expression);
  /// The name or its tail after a dot must match, as a key of `rank_pattern` does.
  [[nodiscard]] static ModulePattern tail(std::string_view expression);

  /// InputError, as the constructors above, when the pattern is not one or is too costly.
  [[nodiscard]] bool matches(std::string_view module) const;

 private:
  explicit ModulePattern(std::string anchored) : pattern_(std::move(anchored)) {}

  Pattern pattern_;
};

}  // namespace chorale
