#include "core/data/choices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"
#include "core/data/prompt.hpp"

namespace chorale {
namespace {

std::string place(const Record& record, const std::string& path) {
  return fmt::format("{}:{}", path, record.line);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlank);
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::vector<std::string> between_bars(std::string_view text) {
  std::vector<std::string> options;
  for (;;) {
    const std::size_t bar = text.find('|');
    options.emplace_back(trimmed(text.substr(0, bar)));
    if (bar == text.npos) return options;
    text.remove_prefix(bar + 1);
  }
}

// The elements of a JSON array as text; InputError when one is no scalar.
std::vector<std::string> from_array(const nlohmann::json& array, const Record& record, const std::string& path,
                                    const std::string& field) {
  std::vector<std::string> options;
  for (const nlohmann::json& item : array) {
    if (item.is_string()) {
      options.push_back(item.get<std::string>());
    } else if (item.is_number() || item.is_boolean()) {
      options.push_back(item.dump());
    } else {
      throw InputError(fmt::format("{}: option {} in '{}' is of type {}. Write strings or numbers.",
                                   place(record, path), options.size(), printable(field), item.type_name()));
    }
  }
  return options;
}

std::vector<std::string> from_text(const std::string& text, const Record& record, const std::string& path,
                                   const std::string& field) {
  const std::string_view bare = trimmed(text);
  if (bare.size() >= 2 && bare.front() == '[' && bare.back() == ']') {
    const nlohmann::json array = nlohmann::json::parse(bare, nullptr, /*allow_exceptions=*/false);
    if (array.is_array()) return from_array(array, record, path, field);
  }
  if (bare.find('|') == bare.npos) {
    throw InputError(
        fmt::format("{}: '{}' holds one piece of text where options are needed: '{}'. Separate them by | or "
                    "write a JSON array.",
                    place(record, path), printable(field), printable(text)));
  }
  return between_bars(bare);
}

// The index that `text` writes in digits, if it is one of 0..count-1.
std::optional<std::int32_t> digits_index(const std::string& text, std::size_t count) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value >= count) return std::nullopt;
  return static_cast<std::int32_t>(value);
}

std::optional<std::int32_t> letter_index(const std::string& text, std::size_t count) {
  if (text.size() != 1 || text[0] < 'A' || text[0] > 'Z') return std::nullopt;
  const auto index = static_cast<std::size_t>(text[0] - 'A');
  return index < count ? std::optional(static_cast<std::int32_t>(index)) : std::nullopt;
}

std::optional<Answer> named_by(const std::string& text, const std::vector<std::string>& choices, const Record& record,
                               const std::string& path, const std::string& field) {
  const std::optional<std::int32_t> letter = letter_index(text, choices.size());
  const std::optional<std::int32_t> position = letter ? letter : digits_index(text, choices.size());
  const auto same = std::find(choices.begin(), choices.end(), text);
  if (same == choices.end()) return position ? std::optional(Answer{*position}) : std::nullopt;
  const auto index = static_cast<std::int32_t>(same - choices.begin());
  if (std::find(same + 1, choices.end(), text) != choices.end()) {
    throw InputError(
        fmt::format("{}: the answer '{}' in '{}' is the text of two options. Give its index (from 0) or "
                    "letter.",
                    place(record, path), printable(text), printable(field)));
  }
  return Answer{index, position && *position != index};
}

}  // namespace

std::string letter_of(std::size_t index) {
  CHORALE_ASSERT(index < kMaxLetters, "there are 26 letters");
  return std::string(1, static_cast<char>('A' + static_cast<int>(index)));
}

std::vector<std::string> record_choices(const Record& record, const std::string& path, const std::string& field) {
  const auto found = record.fields.find(field);
  if (found == record.fields.end()) {
    (void)scalar_text(record, path, field, "task.choices");  // throws, naming the nearest field
  }
  std::vector<std::string> options;
  if (found->is_array()) {
    options = from_array(*found, record, path, field);
  } else if (found->is_string()) {
    options = from_text(found->get_ref<const std::string&>(), record, path, field);
  } else {
    throw InputError(fmt::format("{}: the options in '{}' are of type {}. Write a JSON array of strings.",
                                 place(record, path), printable(field), found->type_name()));
  }
  if (options.size() < 2) {
    throw InputError(fmt::format("{}: '{}' holds {} option{}. Give at least two; a choice needs them.",
                                 place(record, path), printable(field), options.size(),
                                 options.size() == 1 ? "" : "s"));
  }
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (trimmed(options[i]).empty()) {
      throw InputError(fmt::format("{}: option {} in '{}' has no text. Fill it in, or remove it.", place(record, path),
                                   i, printable(field)));
    }
  }
  return options;
}

std::optional<Answer> find_answer(const Record& record, const std::string& path, const std::string& field,
                                  const std::vector<std::string>& choices) {
  const auto found = record.fields.find(field);
  if (found == record.fields.end() || found->is_null()) return std::nullopt;
  if (found->is_number_integer()) {
    const bool negative = !found->is_number_unsigned() && found->get<std::int64_t>() < 0;
    const bool valid = !negative && found->get<std::uint64_t>() < choices.size();
    return valid ? std::optional(Answer{found->get<std::int32_t>()}) : std::nullopt;
  }
  if (!found->is_string()) {
    throw InputError(
        fmt::format("{}: the answer in '{}' is of type {}. Write an index from 0, a letter or the option's "
                    "text.",
                    place(record, path), printable(field), found->type_name()));
  }
  const std::string& text = found->get_ref<const std::string&>();
  return text.empty() ? std::nullopt : named_by(text, choices, record, path, field);
}

void no_such_answer(const Record& record, const std::string& path, const std::string& field,
                    const std::vector<std::string>& choices) {
  const auto found = record.fields.find(field);
  if (found == record.fields.end()) (void)scalar_text(record, path, field, "task.answer");
  const std::string shown = found->is_string() ? found->get<std::string>() : found->dump();
  throw InputError(
      fmt::format("{}: the answer '{}' in '{}' names none of the {} options. Give an index from 0 to {}, a "
                  "letter up to {}, or an option's text.{}",
                  place(record, path), printable(shown), printable(field), choices.size(), choices.size() - 1,
                  letter_of(std::min(choices.size(), kMaxLetters) - 1), did_you_mean(shown, choices)));
}

std::string choices_text(const std::vector<std::string>& choices, bool letters) {
  std::string text;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) text += '\n';
    if (letters) text += letter_of(i) + ". ";
    text += choices[i];
  }
  return text;
}

}  // namespace chorale
