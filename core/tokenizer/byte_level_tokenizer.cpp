#include "core/tokenizer/byte_level_tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/base/utf8.hpp"
#include "core/tokenizer/byte_alphabet.hpp"

namespace chorale {

void ByteLevelTokenizer::append_text(std::string_view text, std::vector<TokenId>& ids) const {
  std::uint64_t dropped = 0;
  parts_.pre_tokenizer.run(text, [&](std::string_view piece) { dropped += parts_.model->encode(piece, ids); });
  if (dropped > 0) {
    dropped_.fetch_add(dropped, std::memory_order_relaxed);
  }
}

std::vector<TokenId> ByteLevelTokenizer::encode(std::string_view text, bool add_special) const {
  require_utf8(text, "the text to encode");
  std::vector<TokenId> ids;
  if (add_special) {
    ids = parts_.sequence_template.before;
  }
  for (const TextSection& raw : parts_.added.cut(text, false)) {
    if (raw.token != nullptr) {
      ids.push_back(raw.token->id);
      continue;
    }
    const std::string normal = normalize(raw.text, parts_.normalization);
    for (const TextSection& section : parts_.added.cut(normal, true)) {
      if (section.token != nullptr) {
        ids.push_back(section.token->id);
      } else {
        append_text(section.text, ids);
      }
    }
  }
  if (add_special) {
    ids.insert(ids.end(), parts_.sequence_template.behind.begin(), parts_.sequence_template.behind.end());
  }
  return ids;
}

std::string ByteLevelTokenizer::decode(const std::vector<TokenId>& ids, bool skip_special) const {
  std::string bytes;
  for (const TokenId id : ids) {
    const AddedToken* added = parts_.added.by_id(id);
    if (skip_special && added != nullptr && added->special) {
      continue;
    }
    const std::string& stored = require_text(id);
    bytes += from_byte_characters(stored).value_or(stored);
  }
  return replace_invalid_utf8(bytes);
}

const std::string* ByteLevelTokenizer::text_of(TokenId id) const {
  const AddedToken* added = parts_.added.by_id(id);
  return added != nullptr ? &added->written : parts_.vocabulary->text(id);
}

const std::string& ByteLevelTokenizer::require_text(TokenId id) const {
  const std::string* text = text_of(id);
  if (text == nullptr) {
    throw InputError(
        fmt::format("token id {} is not in the vocabulary (ids below {}). Use the tokenizer that the ids "
                    "were made with.",
                    id, vocabulary()));
  }
  return *text;
}

std::string ByteLevelTokenizer::token(TokenId id) const {
  return require_text(id);
}

std::optional<TokenId> ByteLevelTokenizer::special_id(std::string_view text) const {
  const AddedToken* added = parts_.added.by_text(text);
  return added == nullptr ? std::nullopt : std::optional<TokenId>(added->id);
}

std::int64_t ByteLevelTokenizer::vocabulary() const {
  std::int64_t end = parts_.vocabulary->end_id();
  for (const AddedToken& added : parts_.added.all()) {
    end = std::max<std::int64_t>(end, std::int64_t{added.id} + 1);
  }
  return end;
}

}  // namespace chorale
