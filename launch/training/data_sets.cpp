#include "launch/training/data_sets.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/data/records.hpp"

namespace chorale {
namespace {

// A tokenizer may have tokens that the base lacks, such as one for padding; only their use is a mistake.
void check_tokens(const ExampleSet& set, const Tokenizer& tokenizer, std::int64_t vocabulary) {
  const auto check = [&](const Example& example, const std::vector<TokenId>& ids) {
    const auto found = std::find_if(ids.begin(), ids.end(), [&](TokenId id) { return id >= vocabulary; });
    if (found == ids.end()) return;
    throw InputError(fmt::format(
        "{}: record '{}' has the token {} '{}', but the base's vocabulary has {} tokens, 0 to {}. Use the "
        "tokenizer that belongs to the base.",
        set.path, printable(example.id), *found, printable(tokenizer.token(*found)), vocabulary, vocabulary - 1));
  };
  for (const Example& example : set.examples) {
    check(example, example.prompt);
    check(example, example.label_tokens);
    for (const std::vector<TokenId>& continuation : example.continuations) check(example, continuation);
  }
}

struct Encoding {
  const Recipe& recipe;
  const Tokenizer& tokenizer;
  std::int64_t vocabulary;
};

ExampleSet encode(const RecordFile& file, const Encoding& encoding, const std::string& name, bool labelled) {
  const Recipe& recipe = encoding.recipe;
  EncodeOptions options;
  options.name = name;
  options.labelled = labelled;
  options.max_tokens = static_cast<std::size_t>(recipe.data.max_tokens);
  options.too_long = recipe.data.too_long;
  ExampleSet set = encode_examples(file, recipe.task, encoding.tokenizer, options);
  check_tokens(set, encoding.tokenizer, encoding.vocabulary);
  spdlog::info("{}: {} examples of {}{}{}", name, set.examples.size(), file.path,
               set.skipped_too_long > 0 ? fmt::format(", {} too long and skipped", set.skipped_too_long) : "",
               set.truncated > 0 ? fmt::format(", {} cut at the left", set.truncated) : "");
  return set;
}

ExampleSet encode_file(const DataFileConfig& file, const Encoding& encoding) {
  return encode(read_records(file.path, file.limit), encoding, file.name, file.labelled);
}

}  // namespace

DataSets load_data_sets(const Recipe& recipe, const Tokenizer& tokenizer, std::int64_t vocabulary) {
  if (!recipe.data.train) {
    throw UsageError("data.train: there is nothing to train on. Give data.train.path in the recipe.");
  }
  const Encoding encoding{recipe, tokenizer, vocabulary};
  DataSets sets;
  RecordFile train = read_records(recipe.data.train->path, recipe.data.train->limit);
  if (recipe.data.validation) {
    sets.validation = encode_file(*recipe.data.validation, encoding);
  } else if (recipe.data.validation_fraction > 0.0) {
    Split split = split_by_hash(train, recipe.data.validation_fraction);
    sets.validation = encode(split.taken, encoding, "validation", true);
    train = std::move(split.rest);
  }
  sets.train = encode(train, encoding, "train", true);
  if (recipe.data.test) sets.test = encode_file(*recipe.data.test, encoding);
  for (const DataFileConfig& file : recipe.data.shifted) sets.shifted.push_back(encode_file(file, encoding));
  if (tokenizer.dropped_bytes() > 0) {
    spdlog::warn("{} bytes of the data have no token in this vocabulary and were dropped", tokenizer.dropped_bytes());
  }
  return sets;
}

}  // namespace chorale
