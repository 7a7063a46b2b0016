#include "launch/training/evaluation.hpp"

#include <algorithm>

#include "core/calibration/evaluate.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/inference/predictor.hpp"

namespace chorale {
namespace {

std::vector<const ExampleSet*> sets_to_evaluate(const DataSets& sets) {
  std::vector<const ExampleSet*> all;
  if (sets.validation) all.push_back(&*sets.validation);
  if (sets.test) all.push_back(&*sets.test);
  for (const ExampleSet& set : sets.shifted) all.push_back(&set);
  return all;
}

const Predictions* find(const std::vector<Predictions>& predictions, const std::string& name) {
  const auto found =
      std::find_if(predictions.begin(), predictions.end(), [&](const Predictions& p) { return p.name == name; });
  return found == predictions.end() ? nullptr : &*found;
}

}  // namespace

EvaluationResult evaluate_sets(const Recipe& recipe, const DataSets& sets, const Decoder& decoder,
                               const AdapterBank& bank, const Predictions* known_validation, Progress& progress) {
  const std::vector<const ExampleSet*> all = sets_to_evaluate(sets);
  std::int64_t total = 0;
  const auto is_known = [&](const ExampleSet* set) {
    return known_validation != nullptr && sets.validation && set == &*sets.validation;
  };
  for (const ExampleSet* set : all) total += is_known(set) ? 0 : static_cast<std::int64_t>(set->examples.size());
  EvaluationResult result;
  result.datasets = nlohmann::json::object();
  progress.start("evaluation", total, "example");
  std::int64_t before = 0;
  for (const ExampleSet* set : all) {
    if (is_known(set)) {
      result.predictions.push_back(*known_validation);
      continue;
    }
    const ExampleBatcher batcher(*set, recipe.task.kind, recipe.task.scoring, decoder.device(),
                                 decoder.residual_dtype());
    Predictor predictor(decoder, batcher, bank.layout().lowest_layer(), recipe.evaluation.batch_size, 0);
    const auto show = [&](std::size_t done) { progress.update(before + static_cast<std::int64_t>(done)); };
    if (recipe.task.kind == TaskKind::completion) {
      result.datasets[set->name] = evaluate_tokens(predictor.tokens(bank, show));
    } else {
      result.predictions.push_back(predictor.choices(bank, show));
    }
    before += static_cast<std::int64_t>(set->examples.size());
  }
  progress.finish();
  const Predictions* validation = find(result.predictions, "validation");
  const Predictions* test = find(result.predictions, "test");
  for (const Predictions& predictions : result.predictions) {
    nlohmann::json metrics = evaluate_predictions(predictions, validation, recipe.evaluation, recipe.seed);
    const bool is_shifted = &predictions != validation && &predictions != test;
    if (is_shifted && test != nullptr) metrics["detection"] = evaluate_detection(*test, predictions);
    result.datasets[predictions.name] = std::move(metrics);
  }
  return result;
}

}  // namespace chorale
