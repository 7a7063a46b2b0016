#include "core/tokenizer/tokenizer_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/errors.hpp"
#include "core/tokenizer/byte_level_tokenizer.hpp"

namespace chorale {

namespace {

void require_known_ids(const JsonNode& root, const TokenizerParts& parts) {
  const auto check = [&](const std::vector<TokenId>& ids) {
    for (const TokenId id : ids) {
      if (parts.vocabulary->text(id) == nullptr && parts.added.by_id(id) == nullptr) {
        root.at("post_processor").fail(fmt::format("adds the id {}, which is not in the vocabulary", id));
      }
    }
  };
  check(parts.sequence_template.before);
  check(parts.sequence_template.behind);
}

}  // namespace

std::unique_ptr<Tokenizer> read_tokenizer_json(const std::string& path) {
  const nlohmann::json document = read_json_file(path);
  const JsonNode root(document, path);
  TokenizerParts parts;
  parts.origin = "tokenizer.json";
  // The model first: its type says more about an unreadable tokenizer than the sections around it.
  JsonModel model = read_model_section(root.at("model"));
  parts.vocabulary = std::move(model.vocabulary);
  parts.model = std::move(model.model);
  parts.normalization = read_normalizer(root);
  parts.pre_tokenizer = read_pre_tokenizer(root);
  parts.added = AddedTokens(read_added_tokens(root, *parts.vocabulary), parts.normalization);
  parts.sequence_template = read_post_processor(root);
  require_known_ids(root, parts);
  require_byte_level_decoder(root);
  const SentenceEnds ends = read_sentence_ends(path, *parts.vocabulary, parts.added, parts.sequence_template);
  parts.bos = ends.bos;
  parts.eos = ends.eos;
  return std::make_unique<ByteLevelTokenizer>(std::move(parts));
}

}  // namespace chorale
