#include "core/tokenizer/added_tokens.hpp"

#include <algorithm>
#include <utility>

#include "core/base/utf8.hpp"
#include "core/tokenizer/unicode_class.hpp"

namespace chorale {

namespace {

/// Offset where the white space that ends at `end` begins.
std::size_t white_space_before(std::string_view text, std::size_t end) {
  while (end > 0) {
    const CodePoint character = code_point_before(text, end);
    if (!is_white_space(character.value)) {
      break;
    }
    end -= character.bytes;
  }
  return end;
}

/// Offset behind the white space that begins at `begin`.
std::size_t white_space_behind(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    const CodePoint character = code_point_at(text, begin);
    if (!is_white_space(character.value)) {
      break;
    }
    begin += character.bytes;
  }
  return begin;
}

}  // namespace

void LiteralSet::add(std::string_view literal, std::size_t value) {
  std::uint32_t node = 0;
  first_bytes_.set(static_cast<unsigned char>(literal.front()));
  for (const char byte : literal) {
    const auto [edge, fresh] =
        edges_.try_emplace(std::uint64_t{node} * 256 + static_cast<unsigned char>(byte), next_node_);
    if (fresh) {
      ++next_node_;
    }
    node = edge->second;
  }
  values_.try_emplace(node, value);
}

std::optional<LiteralSet::Found> LiteralSet::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!first_bytes_.test(static_cast<unsigned char>(text[begin]))) {
      continue;
    }
    std::optional<Found> longest;
    std::uint32_t node = 0;
    for (std::size_t at = begin; at < text.size(); ++at) {
      const auto edge = edges_.find(std::uint64_t{node} * 256 + static_cast<unsigned char>(text[at]));
      if (edge == edges_.end()) {
        break;
      }
      node = edge->second;
      if (const auto value = values_.find(node); value != values_.end()) {
        longest = Found{begin, at + 1, value->second};
      }
    }
    if (longest) {
      return longest;
    }
  }
  return std::nullopt;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, Normalization normalization) : tokens_(std::move(tokens)) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    AddedToken& token = tokens_[i];
    token.written = normalize(token.text, token.normalized ? normalization : Normalization::none);
    by_id_.emplace(token.id, i);
    by_text_.emplace(token.text, i);
    (token.normalized ? normalized_ : raw_).add(token.written, i);
    if (token.single_word && !word_) {
      // Rust's \w, which the definition of single_word rests on: letters, marks, digits, connectors and the two
      // joiners.
      word_ = std::make_shared<const Pattern>(R"(\A[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]\z)");
    }
  }
}

bool AddedTokens::touches_word(std::string_view text, std::size_t begin, std::size_t end) const {
  const auto is_word = [&](std::size_t at, std::size_t bytes) {
    const std::vector<TextSpan> spans = word_->cut(text.substr(at, bytes));
    return spans.front().matched;
  };
  if (begin > 0) {
    const std::size_t bytes = code_point_before(text, begin).bytes;
    if (is_word(begin - bytes, bytes)) {
      return true;
    }
  }
  return end < text.size() && is_word(end, code_point_at(text, end).bytes);
}

std::vector<TextSection> AddedTokens::cut(std::string_view text, bool normalized) const {
  const LiteralSet& literals = normalized ? normalized_ : raw_;
  std::vector<TextSection> sections;
  std::size_t covered = 0;
  const auto keep_text = [&](std::size_t end) {
    if (covered < end) {
      sections.push_back({text.substr(covered, end - covered), nullptr});
    }
  };
  if (!literals.empty()) {
    for (auto found = literals.find(text, 0); found; found = literals.find(text, found->end)) {
      const AddedToken& token = tokens_[found->value];
      if (token.single_word && touches_word(text, found->begin, found->end)) {
        continue;
      }
      // White space taken by the token before is not given back.
      const std::size_t begin =
          token.strip_left ? std::max(covered, white_space_before(text, found->begin)) : found->begin;
      const std::size_t end = token.strip_right ? white_space_behind(text, found->end) : found->end;
      keep_text(begin);
      sections.push_back({text.substr(begin, end - begin), &token});
      covered = end;
    }
  }
  keep_text(text.size());
  return sections;
}

const AddedToken* AddedTokens::by_text(std::string_view text) const {
  const auto found = by_text_.find(std::string(text));
  return found == by_text_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::by_id(TokenId id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

}  // namespace chorale
