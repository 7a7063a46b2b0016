#include "core/data/prompt.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"

namespace chorale {
namespace {

std::vector<std::string> field_names(const nlohmann::json& fields) {
  std::vector<std::string> names;
  for (const auto& item : fields.items()) names.push_back(item.key());
  return names;
}

// "Did you mean 'question'?" or, where nothing is near, what there is to choose from.
std::string suggestion(const std::string& field, const nlohmann::json& fields) {
  std::vector<std::string> names = field_names(fields);
  const std::string near = did_you_mean(field, names);
  if (!near.empty()) return near;
  constexpr std::size_t kShown = 10;
  const bool more = names.size() > kShown;
  if (more) names.resize(kShown);
  return fmt::format(" The record has: {}{}.", printable(fmt::format("{}", fmt::join(names, ", ")), 200),
                     more ? ", ..." : "");
}

}  // namespace

std::vector<Prompt::Part> Prompt::parse(const std::string& text, std::vector<std::string>& mistakes) {
  std::vector<Part> parts;
  std::string literal;
  std::size_t at = 0;
  while (at < text.size()) {
    const char here = text[at];
    const bool doubled = at + 1 < text.size() && text[at + 1] == here;
    if ((here == '{' || here == '}') && doubled) {
      literal += here;
      at += 2;
    } else if (here == '{') {
      const std::size_t close = text.find_first_of("{}", at + 1);
      if (close == text.npos || text[close] == '{') {
        mistakes.push_back(fmt::format("the brace at '{}' is never closed (write {{{{ for a brace that is text)",
                                       printable(std::string_view(text).substr(at), 20)));
        return parts;
      }
      std::string name = text.substr(at + 1, close - at - 1);
      if (name.find_first_not_of(" \t\n") == name.npos) mistakes.emplace_back("a field without a name: {}");
      if (!literal.empty()) parts.push_back({false, std::exchange(literal, {})});
      parts.push_back({true, std::move(name)});
      at = close + 1;
    } else if (here == '}') {
      mistakes.push_back(fmt::format(
          "a closing brace without an opening one after '{}' (write }}}} for a brace that is "
          "text)",
          printable(std::string_view(text).substr(at < 20 ? 0 : at - 20, std::min<std::size_t>(at, 20)), 20)));
      return parts;
    } else {
      literal += here;
      ++at;
    }
  }
  if (!literal.empty()) parts.push_back({false, std::move(literal)});
  return parts;
}

std::vector<std::string> validate_prompt(const std::string& text) {
  std::vector<std::string> mistakes;
  if (text.empty())
    mistakes.emplace_back("is empty; write the text before the answer, with {field} for a record's fields");
  (void)Prompt::parse(text, mistakes);
  return mistakes;
}

Prompt::Prompt(const std::string& text) {
  const std::vector<std::string> mistakes = validate_prompt(text);
  if (!mistakes.empty()) throw UsageError(fmt::format("task.prompt: {}", fmt::join(mistakes, "; ")));
  std::vector<std::string> none;
  parts_ = parse(text, none);
}

std::string Prompt::render(const Record& record, const std::string& path, const std::string* choices) const {
  std::string text;
  for (const Part& part : parts_) {
    if (!part.is_field) {
      text += part.text;
    } else if (choices != nullptr && part.text == kChoicesField) {
      text += *choices;
    } else {
      text += scalar_text(record, path, part.text, "task.prompt");
    }
  }
  return text;
}

std::vector<std::string> Prompt::fields() const {
  std::vector<std::string> names;
  for (const Part& part : parts_) {
    if (part.is_field) names.push_back(part.text);
  }
  return names;
}

bool Prompt::uses(const std::string& field) const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [&](const Part& part) { return part.is_field && part.text == field; });
}

std::string scalar_text(const Record& record, const std::string& path, const std::string& field,
                        const std::string& use) {
  const auto found = record.fields.find(field);
  if (found == record.fields.end()) {
    throw InputError(
        fmt::format("{}:{}: {} needs the field '{}', which this record lacks.{} Correct the recipe, or add the field.",
                    path, record.line, use, printable(field), suggestion(field, record.fields)));
  }
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number() || found->is_boolean()) return found->dump();
  throw InputError(
      fmt::format("{}:{}: {} needs text or a number in the field '{}', which is of type {} here.{}", path, record.line,
                  use, printable(field), found->type_name(),
                  found->is_array() ? " Options are shown by {choices}." : " Correct the recipe or the record."));
}

}  // namespace chorale
