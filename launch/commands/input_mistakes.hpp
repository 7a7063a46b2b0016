// What is wrong with the files a recipe names, as far as a look at their beginnings tells.
#pragma once

#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

/// Records of each data set that are read: enough to meet a wrong field name or answer, few enough for a second.
inline constexpr std::size_t kRecordsLookedAt = 1000;

struct InputMistakes {
  std::vector<std::string> messages;  // one for the base and its tokenizer, one for each data set at most
  ExitCode code = ExitCode::ok;       // of the first
};

/// Opens the base (its configuration and the list of its tensors, not the weights) and the tokenizer, and makes
/// examples of the first records of each data set, as `chorale train` does with all of them. Throws nothing for what it
/// finds.
[[nodiscard]] InputMistakes input_mistakes(const Recipe& recipe);

}  // namespace chorale
