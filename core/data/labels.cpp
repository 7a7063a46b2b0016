#include "core/data/labels.hpp"

#include <fmt/format.h>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/data/choices.hpp"

namespace chorale {

std::vector<TokenId> LabelTokens::of(const std::vector<std::string>& choices, const std::string& where) {
  if (style_ == LabelStyle::letters && choices.size() > kMaxLetters) {
    throw InputError(
        fmt::format("{}: {} options but only {} letters. Set task.labels to options or task.scoring to "
                    "option_likelihood.",
                    where, choices.size(), kMaxLetters));
  }
  std::vector<TokenId> tokens;
  std::map<TokenId, std::size_t> owner;
  for (std::size_t k = 0; k < choices.size(); ++k) {
    tokens.push_back(style_ == LabelStyle::letters ? letter(k, where) : first_token(choices[k], where));
    const auto [other, fresh] = owner.emplace(tokens.back(), k);
    if (!fresh) {
      const bool letters = style_ == LabelStyle::letters;
      throw InputError(fmt::format(
          "{}: the options '{}' and '{}' begin with the same token ({} '{}'), so their scores "
          "cannot differ. Rename one, set task.labels to letters, or task.scoring to "
          "option_likelihood.",
          where, printable(letters ? letter_of(other->second) : choices[other->second]),
          printable(letters ? letter_of(k) : choices[k]), tokens.back(), printable(tokenizer_.token(tokens.back()))));
    }
  }
  return tokens;
}

TokenId LabelTokens::letter(std::size_t index, const std::string& where) {
  while (letters_.size() <= index) {
    const std::string text = " " + letter_of(letters_.size());
    const std::vector<TokenId> ids = tokenizer_.encode(text, false);
    if (ids.size() != 1) {
      throw InputError(
          fmt::format("{}: the label '{}' is {} tokens in this tokenizer where one is needed. Set "
                      "task.labels to options or task.scoring to option_likelihood.",
                      where, text, ids.size()));
    }
    letters_.push_back(ids.front());
  }
  return letters_[index];
}

TokenId LabelTokens::first_token(const std::string& option, const std::string& where) {
  const auto known = first_tokens_.find(option);
  if (known != first_tokens_.end()) return known->second;
  const std::vector<TokenId> ids = tokenizer_.encode(" " + option, false);
  if (ids.empty()) {
    throw InputError(
        fmt::format("{}: the option '{}' has no tokens in this tokenizer. Rename it, or set task.labels to letters.",
                    where, printable(option)));
  }
  return first_tokens_.emplace(option, ids.front()).first->second;
}

}  // namespace chorale
