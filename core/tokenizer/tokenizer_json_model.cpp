// "model" and "added_tokens" of tokenizer.json.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/tokenizer/tokenizer_json.hpp"

namespace chorale {

namespace {

/// Absent, null or empty: real files have all three for "none".
void require_no_affix(const JsonNode& model, const std::string& name) {
  if (const auto affix = model.find(name); affix && !affix->string().empty()) {
    affix->fail(fmt::format("'{}' is not read: byte-level tokenizers have no affixes", printable(affix->string())));
  }
}

void require_readable(const JsonNode& model) {
  if (const auto type = model.find("type"); type && type->string() != "BPE") {
    type->fail(fmt::format("'{}' is not read. Supported: BPE over bytes (GPT-2, Llama 3, Qwen, SmolLM and their kin).",
                           printable(type->string())));
  }
  if (model.boolean_or("byte_fallback", false)) {
    model.at("byte_fallback")
        .fail("true is not read: this is a SentencePiece-style tokenizer. Supported: BPE over bytes.");
  }
  if (const auto dropout = model.find("dropout")) {
    if (!dropout->value().is_number() || dropout->value().get<double>() != 0.0) {
      dropout->fail("BPE dropout is not read: ids would be random. Set it to null.");
    }
  }
  require_no_affix(model, "continuing_subword_prefix");
  require_no_affix(model, "end_of_word_suffix");
}

std::shared_ptr<const Vocabulary> read_vocabulary(const JsonNode& node) {
  if (!node.value().is_object()) {
    node.fail(fmt::format("expected an object of token: id, found {}", node.value().type_name()));
  }
  auto vocabulary = std::make_shared<Vocabulary>();
  for (const auto& [text, id] : node.value().items()) {
    if (!id.is_number_integer()) {
      node.fail(fmt::format("token '{}' has no integer id but {}", printable(text), printable(id.dump())));
    }
    const bool fits = id.is_number_unsigned() ? id.get<std::uint64_t>() <= Vocabulary::largest_id : false;
    if (!fits) {
      node.fail(fmt::format("token '{}' has id {}, outside 0..{}", printable(text), id.dump(), Vocabulary::largest_id));
    }
    try {
      vocabulary->add(id.get<TokenId>(), text);
    } catch (const InputError& error) {
      node.fail(error.what());
    }
  }
  if (vocabulary->size() == 0) {
    node.fail("the vocabulary is empty");
  }
  return vocabulary;
}

/// The halves of `merge`: "left right" or ["left", "right"]. The views live as long as the document.
MergePair read_merge(const JsonNode& merge) {
  if (merge.value().is_array()) {
    if (merge.array_size() != 2) {
      merge.fail(fmt::format("a merge has two halves, this one has {}", merge.array_size()));
    }
    return {merge.element(0).string(), merge.element(1).string()};
  }
  const std::string_view text = merge.string();
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
    merge.fail(fmt::format("'{}' is no pair: exactly one space separates the halves of a merge", printable(text)));
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

}  // namespace

JsonModel read_model_section(const JsonNode& model) {
  require_readable(model);
  JsonModel read;
  read.vocabulary = read_vocabulary(model.at("vocab"));
  BpeOptions options;
  options.fuse_unknown = model.boolean_or("fuse_unk", false);
  options.ignore_merges = model.boolean_or("ignore_merges", false);
  if (const auto unknown = model.find("unk_token"); unknown && !unknown->string().empty()) {
    options.unknown = read.vocabulary->id(unknown->string());
    if (!options.unknown) {
      unknown->fail(fmt::format("'{}' is not in the vocabulary", printable(unknown->string())));
    }
  }
  auto bpe = std::make_unique<BpeModel>(read.vocabulary, options);
  const JsonNode merges = model.at("merges");
  const std::size_t count = merges.array_size();
  for (std::size_t i = 0; i < count; ++i) {
    const JsonNode merge = merges.element(i);
    if (merge.value().is_string() && merge.string().rfind("#version", 0) == 0) {
      continue;  // the heading of a merges.txt, copied along with it
    }
    try {
      bpe->add_merge(read_merge(merge));
    } catch (const InputError& error) {
      // Its own complaints name the key already.
      if (std::string_view(error.what()).find("model.merges[") != std::string_view::npos) {
        throw;
      }
      merge.fail(error.what());
    }
  }
  read.model = std::move(bpe);
  return read;
}

std::vector<AddedToken> read_added_tokens(const JsonNode& root, const Vocabulary& vocabulary) {
  std::vector<AddedToken> tokens;
  const auto list = root.find("added_tokens");
  if (!list) {
    return tokens;
  }
  const std::size_t count = list->array_size();
  std::unordered_map<std::string, TokenId> seen;
  auto next_free = static_cast<TokenId>(vocabulary.size());
  for (std::size_t i = 0; i < count; ++i) {
    const JsonNode node = list->element(i);
    AddedToken token;
    token.id = node.at("id").integer();
    token.text = node.at("content").string();
    token.special = node.boolean_or("special", false);
    token.strip_left = node.boolean_or("lstrip", false);
    token.strip_right = node.boolean_or("rstrip", false);
    token.single_word = node.boolean_or("single_word", false);
    token.normalized = node.boolean_or("normalized", !token.special);
    if (token.text.empty()) {
      node.at("content").fail("an added token must not be empty");
    }
    const auto same = seen.find(token.text);
    const TokenId expected = same != seen.end() ? same->second : vocabulary.id(token.text).value_or(next_free);
    if (token.id != expected) {
      node.at("id").fail(
          fmt::format("token '{}' has id {} here, but its place in the vocabulary gives {}. Correct the "
                      "file: other programs would use {}.",
                      printable(token.text), token.id, expected, expected));
    }
    if (!seen.emplace(token.text, token.id).second) {
      continue;
    }
    next_free = std::max(next_free, token.id + 1);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace chorale
