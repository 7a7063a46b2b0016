// A tokenizer that anyone can follow by eye: a word with the blank before it is one token, so is a line break.
#pragma once

#include <cctype>
#include <map>

#include "core/tokenizer/tokenizer.hpp"

namespace chorale::test {

class WordTokenizer final : public Tokenizer {
 public:
  static constexpr TokenId kBos = 1;

  explicit WordTokenizer(bool with_bos = false) : with_bos_(with_bos) { (void)id_of("<unused>"), (void)id_of("<bos>"); }

  std::vector<TokenId> encode(std::string_view text, bool add_special) const override {
    std::vector<TokenId> ids;
    if (add_special && with_bos_) ids.push_back(kBos);
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = at + 1;
      if (text[at] != '\n') {
        while (end < text.size() && text[end] != ' ' && text[end] != '\n') ++end;
      }
      ids.push_back(id_of(std::string(text.substr(at, end - at))));
      at = end;
    }
    return ids;
  }
  std::string decode(const std::vector<TokenId>& ids, bool skip_special) const override {
    std::string text;
    for (const TokenId id : ids) {
      if (!skip_special || id != kBos) text += token(id);
    }
    return text;
  }
  std::string token(TokenId id) const override { return words_.at(static_cast<std::size_t>(id)); }
  std::optional<TokenId> special_id(std::string_view) const override { return std::nullopt; }
  std::int64_t vocabulary() const override { return static_cast<std::int64_t>(words_.size()); }
  std::optional<TokenId> bos() const override { return with_bos_ ? std::optional(kBos) : std::nullopt; }
  std::optional<TokenId> eos() const override { return std::nullopt; }
  std::uint64_t dropped_bytes() const override { return 0; }
  std::string describe() const override { return "words"; }

 private:
  TokenId id_of(const std::string& word) const {
    const auto [found, fresh] = ids_.emplace(word, static_cast<TokenId>(words_.size()));
    if (fresh) words_.push_back(word);
    return found->second;
  }

  bool with_bos_;
  mutable std::map<std::string, TokenId> ids_;
  mutable std::vector<std::string> words_;
};

}  // namespace chorale::test
