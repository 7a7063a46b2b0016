// Random tokenised examples for the tiny decoder.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/random.hpp"
#include "core/data/task.hpp"
#include "support/tiny_base.hpp"

namespace chorale::test {

struct TinyTask {
  TaskKind kind = TaskKind::multiple_choice;
  Scoring scoring = Scoring::label_token;
};

/// `count` examples whose prompts share their first `common` tokens and have 1 to 7 of their own; 2 to 4 choices (K
/// varies by example), options of 1 to 4 tokens.
inline ExampleSet tiny_examples(const TinyTask& task, std::size_t count, std::size_t common = 3,
                                std::uint64_t seed = 11) {
  const auto vocabulary = static_cast<std::uint32_t>(tiny_config().vocabulary);
  RandomSequence random(RandomStream(seed, 0, Purpose::test, 99));
  const auto tokens = [&](std::size_t length) {
    std::vector<TokenId> ids(length);
    for (TokenId& id : ids) id = static_cast<TokenId>(random.next() % vocabulary);
    return ids;
  };
  ExampleSet set;
  set.name = "train";
  set.path = "memory";
  const std::vector<TokenId> shared = tokens(common);
  for (std::size_t i = 0; i < count; ++i) {
    Example example;
    example.id = std::to_string(i);
    example.prompt = shared;
    const std::vector<TokenId> own = tokens(1 + random.next() % 7);
    example.prompt.insert(example.prompt.end(), own.begin(), own.end());
    const std::uint32_t choices = task.kind == TaskKind::completion ? 1 : 2 + random.next() % 3;
    example.label = static_cast<std::int32_t>(random.next() % choices);
    for (std::uint32_t k = 0; k < choices; ++k) {
      if (task.kind == TaskKind::multiple_choice && task.scoring == Scoring::label_token) {
        example.label_tokens.push_back(static_cast<TokenId>(5 + 7 * k));
      } else {
        example.continuations.push_back(tokens(1 + random.next() % 4));
      }
      if (task.kind == TaskKind::multiple_choice) example.choices.push_back("choice " + std::to_string(k));
    }
    set.examples.push_back(std::move(example));
  }
  return set;
}

}  // namespace chorale::test
