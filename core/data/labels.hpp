// The vocabulary tokens that stand for the options of a label_token task.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/data/task.hpp"
#include "core/tokenizer/tokenizer.hpp"

namespace chorale {

/// Finds and remembers label tokens; one per data set, since options repeat from record to record.
class LabelTokens {
 public:
  LabelTokens(const Tokenizer& tokenizer, LabelStyle style) : tokenizer_(tokenizer), style_(style) {}

  /// One id per option: the token of " A", " B", ... with letters, else the first token of " " + option. InputError
  /// beginning with `where` when a letter is not one token, there are more options than letters, or two options begin
  /// with the same token (both named).
  [[nodiscard]] std::vector<TokenId> of(const std::vector<std::string>& choices, const std::string& where);

 private:
  [[nodiscard]] TokenId letter(std::size_t index, const std::string& where);
  [[nodiscard]] TokenId first_token(const std::string& option, const std::string& where);

  const Tokenizer& tokenizer_;
  LabelStyle style_;
  std::vector<TokenId> letters_;
  std::map<std::string, TokenId> first_tokens_;
};

}  // namespace chorale
