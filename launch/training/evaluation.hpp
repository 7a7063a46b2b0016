// Predictions and metrics of whole data sets, the examples shared by the ranks.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/ensemble/predictions.hpp"
#include "core/model/decoder.hpp"
#include "launch/progress/progress.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/data_sets.hpp"
#include "launch/training/run_world.hpp"

namespace chorale {

/// What all members said about some sets, in their order: choices for multiple choice, tokens for completion.
struct SetPredictions {
  std::vector<Predictions> choices;
  std::vector<TokenPredictions> tokens;
};

/// A set whose predictions by these very adapters, for the group's members, are there already; both may be null. The
/// same on all ranks.
struct KnownPredictions {
  const ExampleSet* set = nullptr;
  const Predictions* predictions = nullptr;
};

/// Runs every member over the sets, the examples of each shared by the ranks of every group, and gathers all
/// predictions on rank 0; elsewhere the result is empty. Collective over all ranks.
[[nodiscard]] SetPredictions predict_sets(const std::vector<const ExampleSet*>& sets, const Recipe& recipe,
                                          const Decoder& decoder, const AdapterBank& bank,
                                          const KnownPredictions& known, const RunWorld& run, Progress& progress);

/// Validation, test and shifted sets as one list, in this order.
[[nodiscard]] std::vector<const ExampleSet*> all_of(const EvaluationSets& sets);

/// The object `datasets` of metrics.json for all of `predictions`. Temperatures are fitted on the set called
/// `validation` alone; every other set but `test` is compared with `test` for detection, when that is there. With
/// `only` the set of that name alone, the others serving it.
[[nodiscard]] nlohmann::json metrics_of(const SetPredictions& predictions, const Recipe& recipe,
                                        const std::string& only = "");

}  // namespace chorale
