// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chorale {

using TokenId = std::int32_t;

/// A byte-level BPE tokenizer. Immutable after loading; encode is safe to call from several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of `text`, which must be valid UTF-8 (InputError with the byte offset otherwise). Special and added tokens in
  /// the text are recognised. With `add_special`, what the tokenizer's own template adds (BOS) is added.
  /// Bytes that have no token are dropped as the `tokenizers` package does, and counted in dropped_bytes().
  [[nodiscard]] virtual std::vector<TokenId> encode(std::string_view text, bool add_special) const = 0;
  /// Text of `ids`; special tokens are written as their text unless `skip_special`. Bytes that make no valid UTF-8
  /// come out as U+FFFD. InputError for an id outside the vocabulary.
  [[nodiscard]] virtual std::string decode(const std::vector<TokenId>& ids, bool skip_special) const = 0;
  /// Exact vocabulary entry of an id in its stored form; InputError outside the vocabulary.
  [[nodiscard]] virtual std::string token(TokenId id) const = 0;
  /// Id of a special or added token by its text, if there is one.
  [[nodiscard]] virtual std::optional<TokenId> special_id(std::string_view text) const = 0;
  /// One more than the largest id, added tokens included.
  [[nodiscard]] virtual std::int64_t vocabulary() const = 0;
  [[nodiscard]] virtual std::optional<TokenId> bos() const = 0;
  [[nodiscard]] virtual std::optional<TokenId> eos() const = 0;
  /// Bytes dropped so far by encode because the vocabulary has no token for them.
  [[nodiscard]] virtual std::uint64_t dropped_bytes() const = 0;
  /// One line for people: kind, pre-tokeniser, vocabulary size, specials.
  [[nodiscard]] virtual std::string describe() const = 0;
};

/// Loads the tokenizer of `path`: a .gguf file (its metadata), a tokenizer.json, or a directory that holds one.
/// Throws InputError naming file and key for what is missing, malformed or of a kind we do not read.
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

/// One sentence for the user about the bytes dropped so far, with their number; empty when there are none.
[[nodiscard]] std::string dropped_bytes_warning(const Tokenizer& tokenizer);

}  // namespace chorale
