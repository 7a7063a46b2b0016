#include <fmt/format.h>

#include "launch/recipe/scalars.hpp"
#include "launch/recipe/sections.hpp"

namespace chorale::recipe {
namespace {

constexpr std::int64_t kMost = 1'000'000'000;  // epochs, steps, batch sizes: beyond any run, far from overflow
constexpr Names<Recompute, 3> kRecompute = {
    {{"none", Recompute::none}, {"light", Recompute::light}, {"full", Recompute::full}}};

const Section kTraining = {
    "training",
    {{"epochs", "integer >= 1, null", "3", "passes over the training set; null where steps is given"},
     {"steps", "integer >= 1, null", "null", "optimiser steps, instead of epochs; giving both is an error"},
     {"batch_size", "integer >= 1", "8",
      "examples per member and optimiser step, over all ranks of its group, of which it needs as many at least"},
     {"micro_batch_size", "auto, integer >= 1", "auto",
      "examples per member and pass; smaller needs less memory and gives the same gradient to rounding; auto: what "
      "fits into a quarter of the memory"},
     {"recompute", "none, light, full", "none",
      "what the backward pass computes again instead of keeping it; light: norms and gated activations; full: whole "
      "layers; needs less memory and gives the same gradient"},
     {"optimiser", "map", "adamw", "see training.optimiser"},
     {"learning_rate", "number > 0, or list", "0.0002",
      "the highest rate, after the warm-up: one for all, or a list of one per member"},
     {"schedule", "map", "cosine", "see training.schedule"},
     {"weight_decay", "map", "0.0", "see training.weight_decay"},
     {"clip_norm", "number > 0, null", "1.0",
      "a member's gradient longer than this is scaled down to it; null: no clipping"},
     {"regularisers", "list of maps", "[]", "see training.regularisers[]; at most one of each kind"},
     {"early_stopping", "map, null", "null",
      "see training.early_stopping; needs data.validation; null: all train to the end"},
     {"prefix_cache", "auto, off, bytes", "auto",
      "memory for the outputs of the frozen layers below the adapters, e.g. 512MiB or 2GiB; auto: up to a quarter of "
      "what "
      "there is; results never depend on it"},
     {"log_every", "integer >= 1", "10", "optimiser steps between lines of log.jsonl"}}};

void read_length(Reader& reader, TrainingConfig& training) {
  const bool by_epochs = reader.given("epochs");
  const bool by_steps = reader.given("steps");
  if (by_epochs && by_steps) {
    reader.mistake("steps", "is given besides training.epochs; keep one (on the command line: training.epochs=null)");
  }
  if (by_epochs) reader.integer("epochs", training.epochs, 1, kMost);
  if (by_steps) reader.integer("steps", training.steps, 1, kMost);
}

void read_learning_rate(Reader& reader, std::int64_t members, std::vector<double>& rates) {
  const Node* node = reader.find("learning_rate");
  if (node == nullptr) return;
  if (node->kind != Node::Kind::list) {
    if (const auto rate = reader.number_of(*node, "training.learning_rate", kPositive)) rates = {*rate};
    return;
  }
  if (node->children.size() != static_cast<std::size_t>(members)) {
    reader.mistake("learning_rate", fmt::format("lists {} values for {} members; give one number, or one per member",
                                                node->children.size(), members));
    return;
  }
  std::vector<double> values;
  for (std::size_t i = 0; i < node->children.size(); ++i) {
    const auto rate = reader.number_of(node->children[i], fmt::format("training.learning_rate.{}", i), kPositive);
    if (rate) values.push_back(*rate);
  }
  if (values.size() == node->children.size()) rates = values;
}

void read_prefix_cache(Reader& reader, TrainingConfig& training) {
  const Node* node = reader.find("prefix_cache");
  if (node == nullptr) return;
  const auto bytes = node->kind == Node::Kind::scalar ? parse_bytes(node->text) : std::nullopt;
  if (bytes && *bytes > 0) {
    training.prefix_cache = PrefixCacheMode::bytes;
    training.prefix_cache_bytes = *bytes;
  } else if (node->kind == Node::Kind::scalar && node->text == "auto") {
    training.prefix_cache = PrefixCacheMode::automatic;
  } else if (node->kind == Node::Kind::scalar && node->text == "off") {
    training.prefix_cache = PrefixCacheMode::off;
  } else {
    reader.mistake("prefix_cache", "must be auto, off, or a number of bytes above 0 such as 512MiB or 2GiB");
  }
}

void write_learning_rate(Writer& writer, const std::vector<double>& rates) {
  if (rates.size() == 1) {
    writer.number("learning_rate", rates.front());
    return;
  }
  std::vector<std::string> texts;
  for (const double rate : rates) texts.push_back(number_text(rate));
  writer.words("learning_rate", texts);
}

void write_prefix_cache(Writer& writer, const TrainingConfig& training) {
  switch (training.prefix_cache) {
    case PrefixCacheMode::automatic:
      return writer.word("prefix_cache", "auto");
    case PrefixCacheMode::off:
      return writer.word("prefix_cache", "off");
    case PrefixCacheMode::bytes:
      return writer.word("prefix_cache", bytes_text(training.prefix_cache_bytes));
  }
}

}  // namespace

std::vector<const Section*> training_tables() {
  std::vector<const Section*> tables = {&kTraining};
  for (const Section* part : training_part_tables()) tables.push_back(part);
  return tables;
}

void read_training(Reader reader, const TrainingContext& context, TrainingConfig& training) {
  read_length(reader, training);
  reader.integer("batch_size", training.batch_size, 1, kMost);
  reader.integer_or("auto", "micro_batch_size", training.micro_batch_size, 1, kMost);
  reader.choice("recompute", training.recompute, kRecompute);
  read_optimiser(reader, training.optimiser);
  read_learning_rate(reader, context.members, training.learning_rate);
  read_schedule(reader, training.schedule);
  read_weight_decay(reader, training.weight_decay);
  if (reader.given("clip_norm")) {
    double norm = *training.clip_norm;
    reader.number("clip_norm", norm, kPositive);
    training.clip_norm = norm;
  } else if (reader.find("clip_norm") != nullptr) {
    training.clip_norm = std::nullopt;
  }
  read_regularisers(reader, training.kl_to_base);
  read_early_stopping(reader, context.has_validation, training.early_stopping);
  read_prefix_cache(reader, training);
  reader.integer("log_every", training.log_every, 1, kMost);
}

void write_training(Writer& writer, const TrainingConfig& training) {
  writer.begin("training");
  if (training.steps > 0) {
    writer.integer("steps", training.steps);
  } else {
    writer.integer("epochs", training.epochs);
  }
  writer.integer("batch_size", training.batch_size);
  if (training.micro_batch_size > 0) {
    writer.integer("micro_batch_size", training.micro_batch_size);
  } else {
    writer.word("micro_batch_size", "auto");
  }
  writer.word("recompute", name_of(kRecompute, training.recompute));
  write_optimiser(writer, training.optimiser);
  write_learning_rate(writer, training.learning_rate);
  write_schedule(writer, training.schedule);
  write_weight_decay(writer, training.weight_decay);
  if (training.clip_norm) {
    writer.number("clip_norm", *training.clip_norm);
  } else {
    writer.null("clip_norm");
  }
  write_regularisers(writer, training.kl_to_base);
  write_early_stopping(writer, training.early_stopping);
  write_prefix_cache(writer, training);
  writer.integer("log_every", training.log_every);
  writer.end();
}

}  // namespace chorale::recipe
