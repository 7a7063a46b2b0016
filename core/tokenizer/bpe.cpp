#include "core/tokenizer/bpe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/tokenizer/byte_alphabet.hpp"

namespace chorale {

namespace {

constexpr TokenId no_token = -1;
constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

std::uint64_t pair_key(TokenId left, TokenId right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}

/// A symbol of the word in the making. A merged-away symbol keeps its place with id no_token.
struct Symbol {
  TokenId id;
  std::size_t previous;
  std::size_t next;
};

/// A merge that was possible when it was noted; the lowest rank, then the leftmost, comes first.
struct Candidate {
  std::uint32_t rank;
  TokenId result;
  std::size_t position;
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

BpeModel::BpeModel(std::shared_ptr<const Vocabulary> vocabulary, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), options_(options) {
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = vocabulary_->id(byte_characters()[byte]).value_or(no_token);
  }
}

void BpeModel::add_merge(const MergePair& pair) {
  const auto require = [&](const std::string& text) {
    const auto id = vocabulary_->id(text);
    if (!id) {
      throw InputError(fmt::format("merge {} ('{}' + '{}') needs the token '{}', which the vocabulary does not have",
                                   next_rank_, printable(pair.left), printable(pair.right), printable(text)));
    }
    return *id;
  };
  const std::string left(pair.left);
  const std::string right(pair.right);
  const TokenId result = require(left + right);
  merges_.insert_or_assign(pair_key(require(left), require(right)), Merge{next_rank_, result});
  ++next_rank_;
}

const BpeModel::Merge* BpeModel::find(TokenId left, TokenId right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

std::size_t BpeModel::missing_bytes() const {
  return static_cast<std::size_t>(std::count(byte_ids_.begin(), byte_ids_.end(), no_token));
}

std::size_t BpeModel::append_bytes(std::string_view piece, std::vector<TokenId>& ids) const {
  std::size_t dropped = 0;
  bool after_unknown = false;
  for (const char byte : piece) {
    const TokenId id = byte_ids_[static_cast<unsigned char>(byte)];
    if (id != no_token) {
      ids.push_back(id);
    } else if (!options_.unknown) {
      ++dropped;
    } else if (!after_unknown || !options_.fuse_unknown) {
      ids.push_back(*options_.unknown);
    }
    after_unknown = id == no_token;
  }
  return dropped;
}

std::size_t BpeModel::encode(std::string_view piece, std::vector<TokenId>& ids) const {
  if (options_.ignore_merges) {
    if (const auto whole = vocabulary_->id(to_byte_characters(piece))) {
      ids.push_back(*whole);
      return 0;
    }
  }
  const std::size_t first = ids.size();
  const std::size_t dropped = append_bytes(piece, ids);
  if (ids.size() - first > 1) {
    merge_from(first, ids);
  }
  return dropped;
}

void BpeModel::merge_from(std::size_t first, std::vector<TokenId>& ids) const {
  const std::size_t count = ids.size() - first;
  std::vector<Symbol> symbols(count);
  std::vector<Candidate> noted;
  noted.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    symbols[i] = {ids[first + i], i == 0 ? nowhere : i - 1, i + 1 == count ? nowhere : i + 1};
    if (i + 1 < count) {
      if (const Merge* merge = find(ids[first + i], ids[first + i + 1])) {
        noted.push_back({merge->rank, merge->result, i});
      }
    }
  }
  std::priority_queue<Candidate> candidates(std::less<Candidate>{}, std::move(noted));
  const auto note = [&](std::size_t position) {
    if (position == nowhere || symbols[position].next == nowhere) {
      return;
    }
    if (const Merge* merge = find(symbols[position].id, symbols[symbols[position].next].id)) {
      candidates.push({merge->rank, merge->result, position});
    }
  };
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Symbol& left = symbols[best.position];
    if (left.id == no_token || left.next == nowhere) {
      continue;
    }
    Symbol& right = symbols[left.next];
    // The neighbours may have changed since the candidate was noted.
    const Merge* merge = find(left.id, right.id);
    if (merge == nullptr || merge->result != best.result) {
      continue;
    }
    left.id = best.result;
    right.id = no_token;
    left.next = right.next;
    if (right.next != nowhere) {
      symbols[right.next].previous = best.position;
    }
    note(left.previous);
    note(best.position);
  }
  ids.resize(first);
  for (std::size_t i = 0; i != nowhere; i = symbols[i].next) {
    ids.push_back(symbols[i].id);
  }
}

}  // namespace chorale
