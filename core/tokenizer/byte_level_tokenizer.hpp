// The tokenizer put together from its parts; readers of files fill in the parts.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tokenizer/added_tokens.hpp"
#include "core/tokenizer/bpe.hpp"
#include "core/tokenizer/normalizer.hpp"
#include "core/tokenizer/post_processor.hpp"
#include "core/tokenizer/pre_tokenizer.hpp"
#include "core/tokenizer/tokenizer.hpp"
#include "core/tokenizer/vocabulary.hpp"

namespace chorale {

struct TokenizerParts {
  /// Where it came from, for people: "tokenizer.json" or "GGUF".
  std::string origin;
  std::shared_ptr<const Vocabulary> vocabulary;
  std::unique_ptr<const BpeModel> model;
  AddedTokens added;
  Normalization normalization = Normalization::none;
  PreTokenizer pre_tokenizer;
  SequenceTemplate sequence_template;
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
};

class ByteLevelTokenizer final : public Tokenizer {
 public:
  explicit ByteLevelTokenizer(TokenizerParts parts) : parts_(std::move(parts)) {}

  std::vector<TokenId> encode(std::string_view text, bool add_special) const override;
  std::string decode(const std::vector<TokenId>& ids, bool skip_special) const override;
  std::string token(TokenId id) const override;
  std::optional<TokenId> special_id(std::string_view text) const override;
  std::int64_t vocabulary() const override;
  std::optional<TokenId> bos() const override { return parts_.bos; }
  std::optional<TokenId> eos() const override { return parts_.eos; }
  std::uint64_t dropped_bytes() const override { return dropped_.load(std::memory_order_relaxed); }
  std::string describe() const override;

 private:
  /// Stored text of an id, added tokens first; null outside the vocabulary.
  [[nodiscard]] const std::string* text_of(TokenId id) const;
  [[nodiscard]] const std::string& require_text(TokenId id) const;
  void append_text(std::string_view text, std::vector<TokenId>& ids) const;

  TokenizerParts parts_;
  mutable std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace chorale
