// Tokens that are cut out of the text before anything else happens to it.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/tokenizer/normalizer.hpp"
#include "core/tokenizer/pattern.hpp"
#include "core/tokenizer/tokenizer.hpp"

namespace chorale {

struct AddedToken {
  TokenId id = 0;
  std::string text;
  /// Left out by decode with skip_special.
  bool special = false;
  /// White space to the left, to the right, belongs to the token.
  bool strip_left = false;
  bool strip_right = false;
  /// Only where no word character touches it.
  bool single_word = false;
  /// Looked for in the normalised text (and itself normalised first) instead of in the text as it came.
  bool normalized = false;
  /// How decode writes it: `text`, normalised where `normalized` is set. Filled in by AddedTokens.
  std::string written = {};
};

/// A stretch of the text: an added token, or text between them.
struct TextSection {
  std::string_view text;
  const AddedToken* token = nullptr;
};

/// Finds the leftmost, among those the longest, of a set of literal strings by walking a trie of their bytes.
class LiteralSet {
 public:
  void add(std::string_view literal, std::size_t value);
  [[nodiscard]] bool empty() const { return next_node_ == 1; }

  struct Found {
    std::size_t begin;
    std::size_t end;
    std::size_t value;
  };
  [[nodiscard]] std::optional<Found> find(std::string_view text, std::size_t from) const;

 private:
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;  // node * 256 + byte -> node; node 0 is the root
  std::unordered_map<std::uint32_t, std::size_t> values_;   // of nodes that end a literal
  std::uint32_t next_node_ = 1;
  std::bitset<256> first_bytes_;  // spares most of the text the walk
};

/// Immutable after construction.
class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(std::vector<AddedToken> tokens, Normalization normalization);

  /// Cuts raw text at the tokens looked for before normalisation (`normalized` false), or normalised text at the
  /// others.
  [[nodiscard]] std::vector<TextSection> cut(std::string_view text, bool normalized) const;

  [[nodiscard]] const AddedToken* by_text(std::string_view text) const;
  [[nodiscard]] const AddedToken* by_id(TokenId id) const;
  [[nodiscard]] const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  [[nodiscard]] bool touches_word(std::string_view text, std::size_t begin, std::size_t end) const;

  std::vector<AddedToken> tokens_;
  LiteralSet raw_;
  LiteralSet normalized_;
  std::unordered_map<TokenId, std::size_t> by_id_;
  std::unordered_map<std::string, std::size_t> by_text_;
  std::shared_ptr<const Pattern> word_;  // only where a single_word token needs it
};

}  // namespace chorale
