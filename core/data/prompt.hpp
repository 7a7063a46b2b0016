// Prompt templates: text with {field} in it.
#pragma once

#include <string>
#include <vector>

#include "core/data/records.hpp"

namespace chorale {

/// The name that stands for the rendered options in the template of a multiple-choice task.
inline constexpr const char* kChoicesField = "choices";

/// A template cut into text and fields. `{name}` is a field, `{{` and `}}` are literal braces.
class Prompt {
 public:
  /// Throws UsageError with the mistakes of validate_prompt.
  explicit Prompt(const std::string& text);

  /// The prompt of `record`, which stands in `path`. Strings are put in as they are, numbers and booleans as JSON
  /// writes them, {choices} as `*choices` unless that is null, when it is a field like any other. InputError with
  /// file:line and the field for one that is missing, null, an array or an object.
  [[nodiscard]] std::string render(const Record& record, const std::string& path, const std::string* choices) const;

  /// Names of the fields in order of appearance, with repeats.
  [[nodiscard]] std::vector<std::string> fields() const;
  [[nodiscard]] bool uses(const std::string& field) const;

 private:
  struct Part {
    bool is_field;
    std::string text;  // of a field: its name
  };
  friend std::vector<std::string> validate_prompt(const std::string& text);
  static std::vector<Part> parse(const std::string& text, std::vector<std::string>& mistakes);

  std::vector<Part> parts_;
};

/// What is wrong with a template, one message each: a brace that is not closed or not opened, a field without a name, a
/// field name with a brace in it, no text at all. Empty when it is right.
[[nodiscard]] std::vector<std::string> validate_prompt(const std::string& text);

/// A scalar of a record as text: strings as they are, numbers and booleans as JSON writes them. InputError with
/// file:line, the field and its nearest neighbour when it is missing, null, an array or an object; `use` says what the
/// field is wanted for ("the prompt").
[[nodiscard]] std::string scalar_text(const Record& record, const std::string& path, const std::string& field,
                                      const std::string& use);

}  // namespace chorale
