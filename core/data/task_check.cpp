#include "core/data/task_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/base/printable.hpp"
#include "core/data/choices.hpp"
#include "core/data/prompt.hpp"

namespace chorale {
namespace {

void check_fixed_choices(const std::vector<std::string>& choices, std::vector<std::string>& mistakes) {
  if (choices.size() < 2) mistakes.emplace_back("task.choices: list at least two; a choice needs them");
  std::set<std::string> seen;
  for (const std::string& choice : choices) {
    if (choice.find_first_not_of(" \t\r\n") == choice.npos) {
      mistakes.emplace_back("task.choices: an option has no text; fill it in");
    } else if (!seen.insert(choice).second) {
      mistakes.push_back(fmt::format("task.choices: the option '{}' stands there twice; keep one", printable(choice)));
    }
  }
}

void check_choices(const TaskConfig& task, std::vector<std::string>& mistakes) {
  const bool has_field = !task.choices_field.empty();
  const bool has_list = !task.fixed_choices.empty();
  if (task.kind == TaskKind::completion) {
    if (has_field || has_list) {
      mistakes.emplace_back("task.choices: a completion has none; remove the key or set task.kind to multiple_choice");
    }
    return;
  }
  if (has_field == has_list) {
    mistakes.emplace_back(
        "task.choices: name the field that holds a record's options, or list the options of every record");
  } else if (has_list) {
    check_fixed_choices(task.fixed_choices, mistakes);
  }
  if (has_field && task.choices_field == task.answer) {
    mistakes.push_back(fmt::format("task.answer: '{}' is the field of the options; the answer needs one of its own",
                                   printable(task.answer)));
  }
}

// Rules of the letters that are scored or shown, for a prompt that parses.
void check_letters(const TaskConfig& task, const Prompt& prompt, std::vector<std::string>& mistakes) {
  if (task.labels != LabelStyle::letters) return;
  const bool shown = prompt.uses(kChoicesField);
  if (task.scoring == Scoring::label_token && !shown) {
    mistakes.emplace_back(
        "task.labels: letters mean nothing unless the prompt shows the options: put {choices} into "
        "task.prompt, or set task.labels to options");
  }
  if ((shown || task.scoring == Scoring::label_token) && task.fixed_choices.size() > kMaxLetters) {
    mistakes.push_back(fmt::format("task.labels: {} options but only {} letters; set task.labels to options",
                                   task.fixed_choices.size(), kMaxLetters));
  }
}

}  // namespace

std::vector<std::string> task_mistakes(const TaskConfig& task) {
  std::vector<std::string> mistakes;
  for (const std::string& mistake : validate_prompt(task.prompt)) mistakes.push_back("task.prompt: " + mistake);
  const bool prompt_parses = mistakes.empty();
  check_choices(task, mistakes);
  if (task.answer.empty()) mistakes.emplace_back("task.answer: name the field that holds the answer");
  if (!prompt_parses) return mistakes;
  const Prompt prompt(task.prompt);
  const bool choices_are_rendered = task.kind == TaskKind::multiple_choice;
  if (prompt.uses(task.answer) && !(choices_are_rendered && task.answer == kChoicesField)) {
    mistakes.push_back(
        fmt::format("task.prompt: {{{}}} gives the answer away; leave the answer's field out of the prompt",
                    printable(task.answer)));
  }
  if (choices_are_rendered) check_letters(task, prompt, mistakes);
  return mistakes;
}

}  // namespace chorale
