// One reader, one writer and one table of keys per section of the recipe.
#pragma once

#include "launch/recipe/reader.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/recipe/schema.hpp"
#include "launch/recipe/writer.hpp"

namespace chorale::recipe {

// Each read function fills in its struct and leaves defaults where the recipe says nothing.

[[nodiscard]] const Section& recipe_table();

[[nodiscard]] const Section& base_table();
void read_base(Reader reader, BaseConfig& base);
void write_base(Writer& writer, const BaseConfig& base);

[[nodiscard]] std::vector<const Section*> data_tables();  // data, then the sections inside it
void read_data(Reader reader, RecipeUse use, DataConfig& data);
void write_data(Writer& writer, const DataConfig& data);

[[nodiscard]] const Section& task_table();
void read_task(Reader reader, TaskConfig& task);
void write_task(Writer& writer, const TaskConfig& task);

[[nodiscard]] const Section& ensemble_table();
void read_ensemble(Reader reader, EnsembleConfig& ensemble);
void write_ensemble(Writer& writer, const EnsembleConfig& ensemble);

[[nodiscard]] const Section& adapter_table();
void read_adapter(Reader reader, AdapterConfig& adapter);
void write_adapter(Writer& writer, const AdapterConfig& adapter);

/// What the training section is checked against.
struct TrainingContext {
  std::int64_t members;
  bool has_validation;
};
[[nodiscard]] std::vector<const Section*> training_tables();
void read_training(Reader reader, const TrainingContext& context, TrainingConfig& training);
void write_training(Writer& writer, const TrainingConfig& training);

// The parts of `training` that are maps themselves.
[[nodiscard]] std::vector<const Section*> training_part_tables();
void read_optimiser(Reader& training, OptimiserConfig& optimiser);
void read_schedule(Reader& training, ScheduleConfig& schedule);
void read_weight_decay(Reader& training, WeightDecay& decay);
void read_regularisers(Reader& training, std::optional<KlToBase>& kl_to_base);
void read_early_stopping(Reader& training, bool has_validation, std::optional<EarlyStopping>& early_stopping);
void write_optimiser(Writer& writer, const OptimiserConfig& optimiser);
void write_schedule(Writer& writer, const ScheduleConfig& schedule);
void write_weight_decay(Writer& writer, const WeightDecay& decay);
void write_regularisers(Writer& writer, const std::optional<KlToBase>& kl_to_base);
void write_early_stopping(Writer& writer, const std::optional<EarlyStopping>& early_stopping);

[[nodiscard]] const Section& evaluation_table();
void read_evaluation(Reader reader, EvaluationConfig& evaluation);
void write_evaluation(Writer& writer, const EvaluationConfig& evaluation);

// checkpoint, output and distributed: where results go and who computes them.
[[nodiscard]] std::vector<const Section*> running_tables();
void read_running(Reader& recipe, Recipe& result);
void write_running(Writer& writer, const Recipe& recipe);

}  // namespace chorale::recipe
