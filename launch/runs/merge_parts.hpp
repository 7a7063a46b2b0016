// What independent runs put together: members one behind the other, in the order of the runs.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/ensemble/predictions.hpp"
#include "core/storage/checkpoint_file.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/results/run_reader.hpp"

namespace chorale {

/// One finished run, with the adapters of its newest checkpoint.
struct MergePart {
  RunReader run;
  CheckpointHeader header;
  std::vector<StoredMember> members;     // all groups', ascending
  std::vector<Predictions> predictions;  // none for completion
};

/// Reads a finished run. UsageError when it is not finished; InputError when its files are damaged.
[[nodiscard]] MergePart read_part(const std::string& directory);

/// Refuses (UsageError naming both runs and the field) what cannot be one ensemble: another base, task, adapter shape
/// or length limit, another kind of base dtype, or the same adapters twice.
void check_mergeable(const std::vector<MergePart>& parts);

/// The first run's recipe with all members, its results in `output`.
[[nodiscard]] Recipe merged_recipe(const std::vector<MergePart>& parts, const std::string& output);

/// Every member in its place; these look into `parts`, which must outlive the result.
[[nodiscard]] std::vector<const StoredMember*> merged_members(const std::vector<MergePart>& parts);

/// The sets that all runs have predicted, with all members; examples and labels must be the same everywhere. UsageError
/// naming set and runs where they are not; a set that only some runs have is left out with a warning, and so is a
/// validation set that differs, since runs may have split their own training data.
[[nodiscard]] std::vector<Predictions> merged_predictions(const std::vector<MergePart>& parts);

/// The runs' logs as one, members numbered as above, in the order of steps.
[[nodiscard]] std::string merged_log(const std::vector<MergePart>& parts);

/// metrics.json's `training` of the whole: the largest number of steps, all tokens, all members.
[[nodiscard]] nlohmann::json merged_training(const std::vector<MergePart>& parts);

}  // namespace chorale
