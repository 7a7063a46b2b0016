#include <fmt/format.h>

#include <set>

#include "core/base/printable.hpp"
#include "core/data/task_check.hpp"
#include "launch/recipe/sections.hpp"

namespace chorale::recipe {
namespace {

constexpr Names<TaskKind, 2> kKinds = {
    {{"multiple_choice", TaskKind::multiple_choice}, {"completion", TaskKind::completion}}};
constexpr Names<Scoring, 2> kScorings = {
    {{"label_token", Scoring::label_token}, {"option_likelihood", Scoring::option_likelihood}}};
constexpr Names<LabelStyle, 2> kLabels = {{{"letters", LabelStyle::letters}, {"options", LabelStyle::options}}};

void read_choices(Reader& reader, TaskConfig& task) {
  const Node* node = reader.find("choices");
  if (node == nullptr) return;
  if (node->kind == Node::Kind::scalar) {
    reader.line("choices", task.choices_field);
    return;
  }
  if (node->kind != Node::Kind::list) {
    reader.mistake("choices", "must name a field of the records (choices: choices) or list the options [a, b]");
    return;
  }
  std::set<std::string> seen;
  for (std::size_t i = 0; i < node->children.size(); ++i) {
    const Node& item = node->children[i];
    const std::string path = fmt::format("task.choices.{}", i);
    const auto option = reader.text_of(item, path, true);
    if (!option) continue;
    if (!seen.insert(*option).second) {
      reader.mistake_at(item, path, fmt::format("'{}' is listed twice; keep one", printable(*option, 60)));
    }
    task.fixed_choices.push_back(*option);
  }
  if (node->children.size() < 2) reader.mistake("choices", "needs at least two options");
}

void refuse(Reader& reader, std::string_view name, std::string_view why) {
  if (reader.given(name)) reader.mistake(name, why);
}

// The rules that core/data knows, placed at the key each message begins with.
void check_task(Reader& reader, const TaskConfig& task) {
  for (const std::string& mistake : task_mistakes(task)) {
    const std::size_t colon = mistake.find(": ");
    const std::string key = colon == std::string::npos ? std::string() : mistake.substr(0, colon);
    bool placed = false;
    for (const Key& known : task_table().keys) {
      if (placed || key != reader.path_of(known.name)) continue;
      reader.mistake(known.name, mistake.substr(colon + 2));
      placed = true;
    }
    if (!placed) reader.mistake("kind", mistake);
  }
}

}  // namespace

const Section& task_table() {
  static const Section table = {
      "task",
      {{"kind", "multiple_choice, completion", "multiple_choice",
        "multiple_choice: one option out of several; completion: text that goes on after the prompt"},
       {"prompt", "text", "required",
        "what the model reads: text with {field} for fields of the record and {choices} for the options; {{ and }} are "
        "braces"},
       {"choices", "field or list", "required for multiple_choice",
        "a field holding a record's options (a JSON array, or text with bars between them), or a list of the same "
        "options for all; at least two"},
       {"answer", "field", "answer",
        "the field with the right option: its index from 0, its letter or its text; for a completion the text itself"},
       {"scoring", "label_token, option_likelihood", "label_token",
        "softmax over one token per option, right after the prompt, or over the mean log-likelihood of all the tokens "
        "of each option"},
       {"labels", "letters, options", "letters for a field, options for a list",
        "label_token only, the token that stands for an option: letters A, B, ... (at most 26, and the prompt shows "
        "{choices}), or its own first token, which must differ from the others'"}}};
  return table;
}

void read_task(Reader reader, TaskConfig& task) {
  const std::size_t mistakes_before = reader.mistakes().count();
  reader.choice("kind", task.kind, kKinds);
  reader.require("prompt", "write the text before the answer, e.g. prompt: \"{question} Answer:\"");
  reader.text("prompt", task.prompt);
  reader.line("answer", task.answer);
  if (task.kind == TaskKind::completion) {
    refuse(reader, "choices", "means nothing for kind: completion; remove it");
    refuse(reader, "scoring", "means nothing for kind: completion; remove it");
    refuse(reader, "labels", "means nothing for kind: completion; remove it");
  } else {
    if (!reader.given("choices")) {
      const bool absent = reader.require("choices", "name the field with the options, or list them: [yes, no]");
      if (absent) reader.mistake("choices", "is empty; name the field with the options, or list them: [yes, no]");
    }
    read_choices(reader, task);
    if (reader.given("scoring")) reader.choice("scoring", task.scoring, kScorings);
    task.labels = task.fixed_choices.empty() ? LabelStyle::letters : LabelStyle::options;
    if (task.scoring == Scoring::option_likelihood) {
      refuse(reader, "labels", "goes with scoring: label_token only; remove it");
    } else if (reader.given("labels")) {
      reader.choice("labels", task.labels, kLabels);
    }
  }
  if (reader.mistakes().count() == mistakes_before) check_task(reader, task);
}

void write_task(Writer& writer, const TaskConfig& task) {
  writer.begin("task");
  writer.word("kind", name_of(kKinds, task.kind));
  writer.text("prompt", task.prompt);
  if (task.kind == TaskKind::multiple_choice) {
    if (task.fixed_choices.empty()) {
      writer.text("choices", task.choices_field);
    } else {
      writer.texts("choices", task.fixed_choices);
    }
  }
  writer.text("answer", task.answer);
  if (task.kind == TaskKind::multiple_choice) {
    writer.word("scoring", name_of(kScorings, task.scoring));
    if (task.scoring == Scoring::label_token) writer.word("labels", name_of(kLabels, task.labels));
  }
  writer.end();
}

}  // namespace chorale::recipe
