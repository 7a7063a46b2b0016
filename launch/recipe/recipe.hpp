// A recipe after parsing and validation: plain structs, every default filled in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/adapters/adapter_config.hpp"
#include "core/calibration/evaluation_config.hpp"
#include "core/data/task.hpp"
#include "core/training/training_config.hpp"
#include "core/weights/base_dtype.hpp"

namespace chorale {

struct BaseConfig {
  std::string path;
  BaseDtype dtype = BaseDtype::float32;
  std::string device = "auto";  // auto | cpu | cuda
};

struct DataFileConfig {
  std::string name;  // train, validation, test or a shifted set's own name
  std::string path;
  std::size_t limit = 0;  // 0: all records
  bool labelled = true;   // false only for shifted sets
};

struct DataConfig {
  std::optional<DataFileConfig> train;
  std::optional<DataFileConfig> validation;  // a file of its own ...
  double validation_fraction = 0.0;          // ... or a share of train
  std::optional<DataFileConfig> test;
  std::vector<DataFileConfig> shifted;
  std::int64_t max_tokens = 512;
  TooLong too_long = TooLong::error;
};

/// What becomes of a run whose periodic checkpoint cannot be written.
enum class OnFailure { stop, go_on };

struct CheckpointConfig {
  std::int64_t every_steps = 100;
  std::optional<double> every_minutes;  // besides; nullopt: no
  std::int64_t keep = 2;
  OnFailure on_failure = OnFailure::stop;
};

struct DistributedConfig {
  std::string backend = "auto";
  std::int64_t groups = 0;  // 0: auto
  std::int64_t watchdog_seconds = 600;
  bool deterministic = false;
};

struct Recipe {
  std::string name;
  std::uint64_t seed = 1234;
  BaseConfig base;
  DataConfig data;
  TaskConfig task;
  EnsembleConfig ensemble;
  AdapterConfig adapter;
  TrainingConfig training;
  EvaluationConfig evaluation;
  CheckpointConfig checkpoint;
  std::string output_directory;
  DistributedConfig distributed;
};

/// Reads `path`, applies `overrides` ("dotted.key=value", values parsed as YAML, list items by index) and checks
/// everything that needs no other file. All mistakes are collected and thrown as one UsageError, a line each, with
/// file:line:column (or "override 'key=value'"), the key, and the nearest known key for unknown ones.
[[nodiscard]] Recipe load_recipe(const std::string& path, const std::vector<std::string>& overrides);

/// What a recipe is read for: without training it needs no training set.
enum class RecipeUse { training, evaluation };

/// As load_recipe, for adapters that are there already: data.train may be missing.
[[nodiscard]] Recipe load_evaluation_recipe(const std::string& path);

/// The same from memory, without overrides; `source` stands for the file in messages.
[[nodiscard]] Recipe load_recipe_text(const std::string& text, const std::string& source);

/// The recipe as YAML with every default written out; load_recipe of this text gives an equal recipe.
[[nodiscard]] std::string resolved_yaml(const Recipe& recipe);

}  // namespace chorale
