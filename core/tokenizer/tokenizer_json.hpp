// tokenizer.json, section by section. What is not byte-level BPE is refused by key and value.
#pragma once

#include <memory>
#include <string>

#include "core/tokenizer/added_tokens.hpp"
#include "core/tokenizer/bpe.hpp"
#include "core/tokenizer/json_node.hpp"
#include "core/tokenizer/normalizer.hpp"
#include "core/tokenizer/post_processor.hpp"
#include "core/tokenizer/pre_tokenizer.hpp"
#include "core/tokenizer/tokenizer.hpp"
#include "core/tokenizer/vocabulary.hpp"

namespace chorale {

/// Reads the whole file. `truncation` and `padding` are passed over: how long a text may be is the recipe's business.
[[nodiscard]] std::unique_ptr<Tokenizer> read_tokenizer_json(const std::string& path);

// The sections. Each throws InputError naming file and key.

struct JsonModel {
  std::shared_ptr<const Vocabulary> vocabulary;
  std::unique_ptr<const BpeModel> model;
};
[[nodiscard]] JsonModel read_model_section(const JsonNode& model);

/// Ids must be what the `tokenizers` package gives: the vocabulary's own where it has the text, the next free one
/// otherwise.
[[nodiscard]] std::vector<AddedToken> read_added_tokens(const JsonNode& root, const Vocabulary& vocabulary);
[[nodiscard]] Normalization read_normalizer(const JsonNode& root);
[[nodiscard]] PreTokenizer read_pre_tokenizer(const JsonNode& root);
[[nodiscard]] SequenceTemplate read_post_processor(const JsonNode& root);
void require_byte_level_decoder(const JsonNode& root);

/// BOS and EOS from tokenizer_config.json or config.json beside the tokenizer, else from its template's ends.
struct SentenceEnds {
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
};
[[nodiscard]] SentenceEnds read_sentence_ends(const std::string& tokenizer_path, const Vocabulary& vocabulary,
                                              const AddedTokens& added, const SequenceTemplate& sequence_template);

}  // namespace chorale
