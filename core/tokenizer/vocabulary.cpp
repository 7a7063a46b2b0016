#include "core/tokenizer/vocabulary.hpp"

#include <fmt/format.h>

#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"

namespace chorale {

void Vocabulary::add(TokenId id, std::string text) {
  if (id < 0 || id > largest_id) {
    throw InputError(
        fmt::format("token '{}' has id {}, outside 0..{}. The vocabulary is damaged: fetch the tokenizer again.",
                    printable(text), id, largest_id));
  }
  const auto place = static_cast<std::size_t>(id);
  if (const auto known = ids_.find(text); known != ids_.end()) {
    throw InputError(fmt::format("token '{}' stands twice in the vocabulary, as id {} and as id {}. Keep one of them.",
                                 printable(text), known->second, id));
  }
  if (place >= texts_.size()) {
    texts_.resize(place + 1);
  }
  if (texts_[place]) {
    throw InputError(fmt::format("id {} is given to two tokens, '{}' and '{}'. Give each its own id.", id,
                                 printable(*texts_[place]), printable(text)));
  }
  ids_.emplace(text, id);
  texts_[place] = std::move(text);
}

std::optional<TokenId> Vocabulary::id(std::string_view text) const {
  const auto found = ids_.find(text);
  return found == ids_.end() ? std::nullopt : std::optional<TokenId>(found->second);
}

const std::string* Vocabulary::text(TokenId id) const {
  if (id < 0 || id >= end_id() || !texts_[static_cast<std::size_t>(id)]) {
    return nullptr;
  }
  return &*texts_[static_cast<std::size_t>(id)];
}

}  // namespace chorale
