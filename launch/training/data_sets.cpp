#include "launch/training/data_sets.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/data/records.hpp"

namespace chorale {
namespace {

ExampleSet encode(const RecordFile& file, const Recipe& recipe, const Tokenizer& tokenizer, const std::string& name,
                  bool labelled) {
  EncodeOptions options;
  options.name = name;
  options.labelled = labelled;
  options.max_tokens = static_cast<std::size_t>(recipe.data.max_tokens);
  options.too_long = recipe.data.too_long;
  ExampleSet set = encode_examples(file, recipe.task, tokenizer, options);
  spdlog::info("{}: {} examples of {}{}{}", name, set.examples.size(), file.path,
               set.skipped_too_long > 0 ? fmt::format(", {} too long and skipped", set.skipped_too_long) : "",
               set.truncated > 0 ? fmt::format(", {} cut at the left", set.truncated) : "");
  return set;
}

ExampleSet encode_file(const DataFileConfig& file, const Recipe& recipe, const Tokenizer& tokenizer) {
  return encode(read_records(file.path, file.limit), recipe, tokenizer, file.name, file.labelled);
}

}  // namespace

DataSets load_data_sets(const Recipe& recipe, const Tokenizer& tokenizer) {
  if (!recipe.data.train) {
    throw UsageError("data.train: there is nothing to train on. Give data.train.path in the recipe.");
  }
  DataSets sets;
  RecordFile train = read_records(recipe.data.train->path, recipe.data.train->limit);
  if (recipe.data.validation) {
    sets.validation = encode_file(*recipe.data.validation, recipe, tokenizer);
  } else if (recipe.data.validation_fraction > 0.0) {
    Split split = split_by_hash(train, recipe.data.validation_fraction);
    if (split.taken.records.empty() || split.rest.records.empty()) {
      throw UsageError(
          fmt::format("data.validation.fraction: a share of {} of the {} records of {} leaves one side "
                      "empty. Change the fraction or give data.validation.path.",
                      recipe.data.validation_fraction, train.records.size(), train.path));
    }
    sets.validation = encode(split.taken, recipe, tokenizer, "validation", true);
    train = std::move(split.rest);
  }
  sets.train = encode(train, recipe, tokenizer, "train", true);
  if (recipe.data.test) sets.test = encode_file(*recipe.data.test, recipe, tokenizer);
  for (const DataFileConfig& file : recipe.data.shifted) sets.shifted.push_back(encode_file(file, recipe, tokenizer));
  if (tokenizer.dropped_bytes() > 0) {
    spdlog::warn("{} bytes of the data have no token in this vocabulary and were dropped", tokenizer.dropped_bytes());
  }
  return sets;
}

}  // namespace chorale
