// What tests/support/lora_probe.cpp is asked to do: a JSON object written by the Python tests.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/data/task.hpp"
#include "core/training/training_config.hpp"

namespace chorale::test {

/// Keys of the object: `model` (path), `adapter` {rank, alpha, scaling, targets, layers}, `members`, `seed`, `initial`
/// (a safetensors file, optional), `task` (label_token, option_likelihood or completion), `examples` [{prompt, labels
/// or continuations, label}], `sequences` (token ids whose logits are wanted), `vary_data_order`, `prefix_budget` and
/// `training` {steps, batch_size, learning_rate, weight_decay {A, B}, clip_norm, micro_batch_size, kl_to_base}. A key
/// that is absent keeps the default below; the learning rate is constant, without warm-up.
struct LoraSpec {
  std::string model;
  AdapterConfig adapter;
  BankOptions bank;
  std::string initial;
  TaskKind kind = TaskKind::multiple_choice;
  Scoring scoring = Scoring::label_token;
  ExampleSet examples;
  std::vector<std::vector<std::int32_t>> sequences;
  bool vary_data_order = true;
  std::uint64_t prefix_budget = std::uint64_t{1} << 24U;
  TrainingConfig training;
};

inline void read_adapter(const nlohmann::json& object, AdapterConfig& adapter) {
  adapter.rank = object.at("rank");
  adapter.alpha = object.at("alpha");
  adapter.scaling = object.value("scaling", "standard") == "rank_stabilised" ? AdapterScaling::rank_stabilised
                                                                             : AdapterScaling::standard;
  adapter.targets = object.at("targets").get<std::vector<std::string>>();
  adapter.layers = object.value("layers", adapter.layers);
}

inline void read_training(const nlohmann::json& object, TrainingConfig& training) {
  training.steps = object.value("steps", std::int64_t{1});
  training.batch_size = object.at("batch_size");
  training.micro_batch_size = object.value("micro_batch_size", std::int64_t{0});
  training.learning_rate = object.value("learning_rate", std::vector<double>{1e-3});
  training.schedule = {ScheduleKind::constant, 0.0};
  const nlohmann::json decay = object.value("weight_decay", nlohmann::json::object());
  training.weight_decay = {decay.value("A", 0.0), decay.value("B", 0.0)};
  training.clip_norm.reset();
  if (object.contains("clip_norm")) training.clip_norm = object.at("clip_norm").get<double>();
  if (object.contains("kl_to_base")) {
    const nlohmann::json& kl = object.at("kl_to_base");
    training.kl_to_base = {kl.at("weight"), kl.at("direction") == "member_to_base" ? KlDirection::member_to_base
                                                                                   : KlDirection::base_to_member};
  }
}

inline LoraSpec read_lora_spec(const nlohmann::json& object) {
  LoraSpec spec;
  spec.model = object.at("model");
  read_adapter(object.at("adapter"), spec.adapter);
  spec.bank.members = object.at("members").get<std::vector<std::uint32_t>>();
  spec.bank.seed = object.value("seed", std::uint64_t{0});
  spec.initial = object.value("initial", "");
  const std::string task = object.at("task");
  spec.kind = task == "completion" ? TaskKind::completion : TaskKind::multiple_choice;
  spec.scoring = task == "label_token" ? Scoring::label_token : Scoring::option_likelihood;
  for (const nlohmann::json& item : object.at("examples")) {
    Example example;
    example.id = std::to_string(spec.examples.examples.size());
    example.prompt = item.at("prompt").get<std::vector<TokenId>>();
    example.label_tokens = item.value("labels", std::vector<TokenId>());
    example.continuations = item.value("continuations", std::vector<std::vector<TokenId>>());
    example.label = item.value("label", 0);
    spec.examples.examples.push_back(std::move(example));
  }
  spec.sequences = object.value("sequences", spec.sequences);
  spec.vary_data_order = object.value("vary_data_order", true);
  spec.prefix_budget = object.value("prefix_budget", spec.prefix_budget);
  read_training(object.at("training"), spec.training);
  return spec;
}

}  // namespace chorale::test
