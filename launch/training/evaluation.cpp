#include "launch/training/evaluation.hpp"

#include <algorithm>
#include <numeric>

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

// All groups' parts as one array on rank 0; empty elsewhere.
std::vector<float> gathered(const ExampleBatcher& batcher, const PredictionShare& own, std::size_t members,
                            const RunWorld& run) {
  std::vector<PredictionShare> shares;
  for (const auto& bytes : run.world().gather(pack(own))) shares.push_back(unpack(bytes));
  if (!run.is_root()) return {};
  std::vector<std::uint32_t> all(members);
  std::iota(all.begin(), all.end(), 0U);
  const CellShape shape = cell_shape(batcher);
  return assemble(shares, all, shape.cells, shape.width);
}

// What the validation at the end of training has left: whole on every rank of a group, so its first rank gives it.
PredictionShare share_of_known(const Predictions& known, const RunWorld& run) {
  PredictionShare share{{}, 0, 0, known.choices, {}};
  if (!run.leads_group()) return share;
  share.members = run.members();
  share.count = known.examples;
  share.values = known.log_probabilities;
  return share;
}

void add_metrics(const Recipe& recipe, EvaluationResult& result) {
  const Predictions* validation = find(result.predictions, "validation");
  const Predictions* test = find(result.predictions, "test");
  for (const Predictions& predictions : result.predictions) {
    nlohmann::json metrics = evaluate_predictions(predictions, validation, recipe.evaluation, recipe.seed);
    const bool is_shifted = &predictions != validation && &predictions != test;
    if (is_shifted && test != nullptr) metrics["detection"] = evaluate_detection(*test, predictions);
    result.datasets[predictions.name] = std::move(metrics);
  }
}

}  // namespace

EvaluationResult evaluate_sets(const Recipe& recipe, const DataSets& sets, const Decoder& decoder,
                               const AdapterBank& bank, const Predictions* known_validation, const RunWorld& run,
                               Progress& progress) {
  const std::vector<const ExampleSet*> all = sets_to_evaluate(sets);
  const auto own_examples = [&](const ExampleSet* set) {
    const bool known = known_validation != nullptr && sets.validation && set == &*sets.validation;
    return known ? IndexRange() : share_of(set->examples.size(), run.group().rank(), run.group().size());
  };
  std::size_t total = 0;
  for (const ExampleSet* set : all) total += own_examples(set).size();
  EvaluationResult result;
  result.datasets = nlohmann::json::object();
  const auto members = static_cast<std::size_t>(recipe.ensemble.members);
  // Ranks have shares of nearly the same size: each shows its own as if it were the whole.
  progress.start("evaluation", static_cast<std::int64_t>(total), "example");
  std::size_t before = 0;
  for (const ExampleSet* set : all) {
    const ExampleBatcher batcher(*set, recipe.task.kind, recipe.task.scoring, decoder.device(),
                                 decoder.residual_dtype());
    const IndexRange range = own_examples(set);
    PredictionShare own;
    if (known_validation != nullptr && sets.validation && set == &*sets.validation) {
      own = share_of_known(*known_validation, run);
    } else {
      Predictor predictor(decoder, batcher, bank.layout().lowest_layer(), recipe.evaluation.batch_size, 0, range);
      own = predictor.share(bank, [&](std::size_t done) { progress.update(static_cast<std::int64_t>(before + done)); });
    }
    before += range.size();
    std::vector<float> values = gathered(batcher, own, members, run);
    if (!run.is_root()) continue;
    if (recipe.task.kind == TaskKind::completion) {
      result.datasets[set->name] = evaluate_tokens(token_predictions(batcher, members, std::move(values)));
    } else {
      result.predictions.push_back(choice_predictions(batcher, members, std::move(values)));
    }
  }
  progress.finish();
  add_metrics(recipe, result);
  return result;
}

}  // namespace chorale
