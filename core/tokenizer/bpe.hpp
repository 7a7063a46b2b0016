// Byte pair encoding of one piece of text.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/tokenizer/tokenizer.hpp"
#include "core/tokenizer/vocabulary.hpp"

namespace chorale {

/// The two halves of a merge, in stored form. The first merge of a list has rank 0 and goes first.
struct MergePair {
  std::string_view left;
  std::string_view right;
};

struct BpeOptions {
  /// Token for bytes without one; bytes are dropped where this is not set.
  std::optional<TokenId> unknown;
  /// A run of unknown bytes gives one unknown token.
  bool fuse_unknown = false;
  /// A piece that is a token as a whole is that token, whatever the merges say.
  bool ignore_merges = false;
};

class BpeModel {
 public:
  BpeModel(std::shared_ptr<const Vocabulary> vocabulary, BpeOptions options);

  /// Adds the merge of the next rank. InputError when a half or the result is not in the vocabulary. A pair that comes
  /// again takes the later rank, as in the `tokenizers` package.
  void add_merge(const MergePair& pair);

  /// Appends the ids of `piece` (raw bytes) to `ids` and returns how many bytes were dropped.
  /// Takes O(n log n) for n bytes: a heap of candidate merges over a linked list of symbols.
  std::size_t encode(std::string_view piece, std::vector<TokenId>& ids) const;

  [[nodiscard]] std::size_t merges() const { return next_rank_; }
  /// How many of the 256 bytes have no token.
  [[nodiscard]] std::size_t missing_bytes() const;

 private:
  struct Merge {
    std::uint32_t rank;
    TokenId result;
  };

  [[nodiscard]] const Merge* find(TokenId left, TokenId right) const;
  std::size_t append_bytes(std::string_view piece, std::vector<TokenId>& ids) const;
  void merge_from(std::size_t first, std::vector<TokenId>& ids) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  BpeOptions options_;
  std::array<TokenId, 256> byte_ids_{};  // -1: no token
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::uint32_t next_rank_ = 0;
};

}  // namespace chorale
