// BOS and EOS of a tokenizer.json, which are not in that file itself.
#include <filesystem>

#include "core/base/errors.hpp"
#include "core/tokenizer/tokenizer_json.hpp"

namespace chorale {

namespace {

std::optional<TokenId> id_of_text(const std::string& text, const Vocabulary& vocabulary, const AddedTokens& added) {
  const AddedToken* token = added.by_text(text);
  return token != nullptr ? std::optional<TokenId>(token->id) : vocabulary.id(text);
}

/// "bos_token": "<s>" or {"content": "<s>", ...} of tokenizer_config.json.
std::optional<TokenId> from_tokenizer_config(const JsonNode& config, const std::string& name,
                                             const Vocabulary& vocabulary, const AddedTokens& added) {
  const auto node = config.find(name);
  if (!node) {
    return std::nullopt;
  }
  return id_of_text(node->value().is_object() ? node->at("content").string() : node->string(), vocabulary, added);
}

/// "bos_token_id": 1 or [1, 2] of config.json; the first counts.
std::optional<TokenId> from_model_config(const JsonNode& config, const std::string& name, const Vocabulary& vocabulary,
                                         const AddedTokens& added) {
  auto node = config.find(name);
  if (node && node->value().is_array() && node->array_size() > 0) {
    node = node->element(0);
  }
  if (!node || !node->value().is_number_integer()) {
    return std::nullopt;
  }
  const TokenId id = node->integer();
  const bool known = vocabulary.text(id) != nullptr || added.by_id(id) != nullptr;
  return known ? std::optional<TokenId>(id) : std::nullopt;
}

}  // namespace

SentenceEnds read_sentence_ends(const std::string& tokenizer_path, const Vocabulary& vocabulary,
                                const AddedTokens& added, const SequenceTemplate& sequence_template) {
  const std::filesystem::path folder = std::filesystem::path(tokenizer_path).parent_path();
  SentenceEnds ends;
  const auto consult = [&](const char* name, const auto& find_bos, const auto& find_eos) {
    const std::string path = (folder / name).string();
    std::error_code ignored;
    if ((ends.bos && ends.eos) || !std::filesystem::is_regular_file(path, ignored)) {
      return;
    }
    const nlohmann::json document = read_json_file(path);
    const JsonNode config(document, path);
    ends.bos = ends.bos ? ends.bos : find_bos(config);
    ends.eos = ends.eos ? ends.eos : find_eos(config);
  };
  const auto by_text = [&](const char* name) {
    return [&, name](const JsonNode& config) { return from_tokenizer_config(config, name, vocabulary, added); };
  };
  const auto by_id = [&](const char* name) {
    return [&, name](const JsonNode& config) { return from_model_config(config, name, vocabulary, added); };
  };
  consult("tokenizer_config.json", by_text("bos_token"), by_text("eos_token"));
  consult("config.json", by_id("bos_token_id"), by_id("eos_token_id"));
  if (!ends.bos && !sequence_template.before.empty()) {
    ends.bos = sequence_template.before.front();
  }
  if (!ends.eos && !sequence_template.behind.empty()) {
    ends.eos = sequence_template.behind.back();
  }
  return ends;
}

}  // namespace chorale
