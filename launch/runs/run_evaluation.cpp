#include "launch/runs/run_evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/storage/predictions_file.hpp"
#include "launch/recipe/data_names.hpp"
#include "launch/runs/evaluation_files.hpp"
#include "launch/runs/loaded_ensemble.hpp"
#include "launch/training/evaluation.hpp"
#include "launch/training/same_inputs.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

// The name of the set in `data`, as given or after its file.
std::string name_of(const EvaluationRequest& request) {
  std::string name = request.name;
  if (name.empty()) {
    name = fs::path(request.data).stem().string();
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return c >= 0x80 || (std::isalnum(c) == 0 && c != '-'); }, '_');
  }
  if (const std::string problem = data_set_name_problem(name); !problem.empty()) {
    throw UsageError(fmt::format("--name: {}.", problem));
  }
  const bool reserved = name == "train" || name == "validation" || name == "test";
  if (reserved && request.output.empty()) {
    throw UsageError(
        fmt::format("--name: '{}' is a set of the run's own, which {} is not. Choose another name, or write elsewhere "
                    "by --output DIR.",
                    name, printable(request.data, 100)));
  }
  return name;
}

void check_request(const EvaluationRequest& request) {
  if (!request.data.empty()) {
    (void)name_of(request);
    return;
  }
  if (!request.name.empty() || request.limit > 0 || request.unlabelled) {
    throw UsageError("--name, --limit and --unlabelled are about --data. Give --data FILE, or leave them out.");
  }
}

// The sets to predict, and which of them are asked about.
struct Sets {
  EvaluationSets own;
  std::optional<ExampleSet> other;
  std::vector<Predictions> stored;  // validation and test of a finished run, on rank 0

  [[nodiscard]] std::vector<const ExampleSet*> to_predict() const {
    std::vector<const ExampleSet*> sets = all_of(own);
    if (other) sets.push_back(&*other);
    return sets;
  }
};

Sets load_sets(const EvaluationRequest& request, const EnsembleSource& source, const BaseTokens& tokens, bool is_root) {
  Sets sets;
  if (request.data.empty()) {
    sets.own = load_evaluation_sets(source.recipe, tokens);
    if (sets.to_predict().empty()) {
      throw UsageError("the recipe names no set to evaluate (data.validation, data.test, data.shifted). Give --data.");
    }
    return sets;
  }
  sets.other =
      load_example_set(source.recipe, {name_of(request), request.data, request.limit, !request.unlabelled}, tokens);
  if (source.recipe.task.kind == TaskKind::completion) return sets;
  const bool is_finished = source.run && source.run->metrics() && fs::exists(source.run->file("predictions.h5"));
  if (!is_finished) {
    if (source.recipe.evaluation.temperature) sets.own.validation = load_validation_set(source.recipe, tokens);
    return sets;
  }
  if (!is_root) return sets;
  for (Predictions& set : read_predictions_file(source.run->file("predictions.h5"))) {
    const bool is_wanted = set.name == "validation" || set.name == "test";
    if (is_wanted && set.name != sets.other->name) sets.stored.push_back(std::move(set));
  }
  return sets;
}

}  // namespace

EvaluationOutcome evaluate_ensemble(const EvaluationRequest& request, World& world, Progress& progress) {
  world.together([&] { check_request(request); });
  const EnsembleSource source = find_ensemble(request.ensemble, world);
  std::optional<EvaluationFiles> files;
  world.on_root([&] { files.emplace(request.output, source); });
  LoadedEnsemble ensemble(source, world);
  Sets sets;
  world.together([&] { sets = load_sets(request, source, ensemble.tokens(), world.is_root()); });
  check_same_data(sets.to_predict(), world);
  ensemble.load();
  SetPredictions predictions =
      predict_sets(sets.to_predict(), source.recipe, ensemble.decoder(), ensemble.bank(), {}, ensemble.run(), progress);
  EvaluationOutcome outcome;
  world.on_root([&] {
    std::move(sets.stored.begin(), sets.stored.end(), std::back_inserter(predictions.choices));
    const std::string only = sets.other ? sets.other->name : "";
    outcome.datasets = metrics_of(predictions, source.recipe, only);
    std::erase_if(predictions.choices, [&](const Predictions& set) { return !only.empty() && set.name != only; });
    outcome.written_to = files->write(source, ensemble.base_fingerprint(), predictions.choices, outcome.datasets);
  });
  return outcome;
}

}  // namespace chorale
