// Token texts by id and ids by text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/tokenizer/tokenizer.hpp"

namespace chorale {

/// Tokens in their stored form. Ids may leave gaps (some files reserve places).
class Vocabulary {
 public:
  /// Above this an id is taken for a damaged file: the largest published vocabularies have a quarter of a million.
  static constexpr TokenId largest_id = 3'999'999;

  /// Adds a token; InputError when `id` is outside [0, largest_id], or the id or the text is already there.
  void add(TokenId id, std::string text);

  [[nodiscard]] std::optional<TokenId> id(std::string_view text) const;
  /// Null where no token has this id.
  [[nodiscard]] const std::string* text(TokenId id) const;
  /// Number of tokens.
  [[nodiscard]] std::size_t size() const { return ids_.size(); }
  /// One more than the largest id.
  [[nodiscard]] TokenId end_id() const { return static_cast<TokenId>(texts_.size()); }

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  std::vector<std::optional<std::string>> texts_;
  std::unordered_map<std::string, TokenId, TextHash, std::equal_to<>> ids_;
};

}  // namespace chorale
