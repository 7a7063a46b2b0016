// Mistakes in a task that show before any data is read.
#pragma once

#include <string>
#include <vector>

#include "core/data/task.hpp"

namespace chorale {

/// Every rule that spans several keys of the recipe's `task` section, one message for each broken one, beginning with
/// the key ("task.prompt: ..."); empty when the task can be encoded. Rules: the prompt's braces; choices are a field or
/// a list of at least two different options; letters need {choices} in the prompt and at most 26 options; the prompt
/// must not give the answer away; `completion` has no choices.
[[nodiscard]] std::vector<std::string> task_mistakes(const TaskConfig& task);

}  // namespace chorale
