#include "core/tokenizer/bpe.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <utility>

#include "core/tokenizer/byte_alphabet.hpp"
#include "support/catch.hpp"
#include "support/input_error.hpp"

namespace chorale {
namespace {

using test::contains;
using test::input_error_of;

using Merges = std::vector<std::pair<std::string, std::string>>;

/// Letters a to `last` and then the results of `merges`.
std::shared_ptr<const Vocabulary> vocabulary_of(char last, const Merges& merges) {
  auto vocabulary = std::make_shared<Vocabulary>();
  TokenId next = 0;
  for (char letter = 'a'; letter <= last; ++letter) {
    vocabulary->add(next++, std::string(1, letter));
  }
  for (const auto& [left, right] : merges) {
    if (!vocabulary->id(left + right)) {
      vocabulary->add(next++, left + right);
    }
  }
  return vocabulary;
}

/// The definition, word for word: again and again, merge the leftmost pair of the lowest rank.
std::vector<std::string> merge_by_definition(const std::string& word, const Merges& merges) {
  std::map<std::pair<std::string, std::string>, std::size_t> ranks;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    ranks[merges[rank]] = rank;
  }
  std::vector<std::string> symbols;
  for (const char letter : word) {
    symbols.emplace_back(1, letter);
  }
  while (true) {
    std::size_t best = merges.size();
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found != ranks.end() && found->second < best) {
        best = found->second;
        place = i;
      }
    }
    if (best == merges.size()) {
      return symbols;
    }
    symbols[place] += symbols[place + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

TEST_CASE("the heap merges as the definition does, on random vocabularies and words") {
  std::mt19937 generator(7);
  const auto below = [&](std::size_t bound) { return static_cast<std::size_t>(generator()) % bound; };
  for (int round = 0; round < 60; ++round) {
    const std::size_t letters = 1 + below(4);
    std::vector<std::string> known;
    for (std::size_t i = 0; i < letters; ++i) {
      known.emplace_back(1, static_cast<char>('a' + i));
    }
    Merges merges;
    for (int i = 0; i < 30; ++i) {
      merges.emplace_back(known[below(known.size())], known[below(known.size())]);
      known.push_back(merges.back().first + merges.back().second);
    }
    std::shuffle(merges.begin(), merges.end(), generator);
    const auto vocabulary = vocabulary_of(static_cast<char>('a' + letters - 1), merges);
    BpeModel model(vocabulary, {});
    for (const auto& [left, right] : merges) {
      model.add_merge({left, right});
    }
    for (int sample = 0; sample < 20; ++sample) {
      std::string word;
      for (std::size_t length = below(40); word.size() < length;) {
        word.push_back(static_cast<char>('a' + below(letters)));
      }
      std::vector<TokenId> ids;
      REQUIRE(model.encode(word, ids) == 0);
      std::vector<std::string> merged;
      for (const TokenId id : ids) {
        merged.push_back(*vocabulary->text(id));
      }
      REQUIRE(merged == merge_by_definition(word, merges));
    }
  }
}

TEST_CASE("bytes without a token are dropped and counted, and merging goes on across them") {
  const Merges merges = {{"a", "b"}};
  BpeModel model(vocabulary_of('b', merges), {});
  model.add_merge({"a", "b"});
  std::vector<TokenId> ids = {99};
  REQUIRE(model.encode("az\xFF"
                       "ba",
                       ids) == 2);
  REQUIRE(ids == std::vector<TokenId>{99, 2, 0});
  REQUIRE(model.missing_bytes() == 254);
}

TEST_CASE("a merge needs its halves and its result in the vocabulary") {
  BpeModel model(vocabulary_of('b', {}), {});
  const std::string message = input_error_of([&] { model.add_merge({"a", "b"}); });
  REQUIRE_THAT(message, contains("needs the token 'ab'"));
}

TEST_CASE("a vocabulary refuses ids and texts that come twice, and ids out of bounds") {
  Vocabulary vocabulary;
  vocabulary.add(5, "five");
  REQUIRE_THAT(input_error_of([&] { vocabulary.add(6, "five"); }), contains("stands twice"));
  REQUIRE_THAT(input_error_of([&] { vocabulary.add(5, "six"); }), contains("two tokens"));
  REQUIRE_THAT(input_error_of([&] { vocabulary.add(-1, "x"); }), contains("outside"));
  REQUIRE_THAT(input_error_of([&] { vocabulary.add(Vocabulary::largest_id + 1, "x"); }), contains("outside"));
  REQUIRE(vocabulary.text(4) == nullptr);
  REQUIRE(vocabulary.text(6) == nullptr);
  REQUIRE(vocabulary.end_id() == 6);
  REQUIRE(vocabulary.size() == 1);
}

}  // namespace
}  // namespace chorale
