#include "launch/training/evaluation.hpp"

#include <algorithm>
#include <numeric>

#include "core/calibration/evaluate.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/inference/predictor.hpp"
#include "core/training/memory_estimate.hpp"
#include "launch/training/memory_check.hpp"

namespace chorale {
namespace {

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

// The same on all ranks, so that a set is predicted in one way.
std::uint64_t merge_budget_of(const Recipe& recipe, const Decoder& decoder, const AdapterBank& bank,
                              const RunWorld& run) {
  const bool on_gpu = decoder.device().is_cuda();
  const std::uint64_t memory = run.smallest(memory_place(decoder.device(), run.world()).share());
  const std::uint64_t taken =
      base_bytes(decoder.config(), recipe.base.dtype, on_gpu) + static_cast<std::uint64_t>(bank.parameters().nbytes());
  return merge_budget(activation_budget(memory, on_gpu, taken));
}

}  // namespace

std::vector<const ExampleSet*> all_of(const EvaluationSets& sets) {
  std::vector<const ExampleSet*> all;
  if (sets.validation) all.push_back(&*sets.validation);
  if (sets.test) all.push_back(&*sets.test);
  for (const ExampleSet& set : sets.shifted) all.push_back(&set);
  return all;
}

SetPredictions predict_sets(const std::vector<const ExampleSet*>& sets, const Recipe& recipe, const Decoder& decoder,
                            const AdapterBank& bank, const KnownPredictions& known, const RunWorld& run,
                            Progress& progress) {
  const auto is_known = [&](const ExampleSet* set) { return known.predictions != nullptr && set == known.set; };
  std::size_t total = 0;
  for (const ExampleSet* set : sets) total += is_known(set) ? 0 : set->examples.size();
  SetPredictions result;
  const auto members = static_cast<std::size_t>(run.placement().members);
  // Ranks have shares of nearly the same size: within a set the first one's stands for all.
  progress.start("evaluation", static_cast<std::int64_t>(total), "example");
  std::size_t before = 0;
  const std::uint64_t merging = merge_budget_of(recipe, decoder, bank, run);
  for (const ExampleSet* set : sets) {
    const ExampleBatcher batcher(*set, recipe.task.kind, recipe.task.scoring, decoder.device(),
                                 decoder.residual_dtype());
    PredictionShare own;
    if (is_known(set)) {
      own = share_of_known(*known.predictions, run);
    } else {
      const std::size_t size = set->examples.size();
      const IndexRange range = share_of(size, run.group().rank(), run.group().size());
      Predictor predictor(decoder, batcher, bank.layout().lowest_layer(), recipe.evaluation.batch_size, 0, range);
      predictor.merge(Merging::when_less_work, merging);
      // Together, so that all ranks stop when one of them is asked to.
      run.world().together([&] {
        own = predictor.share(bank, [&](std::size_t done) {
          progress.update(static_cast<std::int64_t>(before + done * size / range.size()));
        });
      });
      before += size;
    }
    std::vector<float> values = gathered(batcher, own, members, run);
    if (!run.is_root()) continue;
    if (recipe.task.kind == TaskKind::completion) {
      result.tokens.push_back(token_predictions(batcher, members, std::move(values)));
    } else {
      result.choices.push_back(choice_predictions(batcher, members, std::move(values)));
    }
  }
  progress.update(static_cast<std::int64_t>(total));
  progress.finish();
  return result;
}

nlohmann::json metrics_of(const SetPredictions& predictions, const Recipe& recipe, const std::string& only) {
  nlohmann::json datasets = nlohmann::json::object();
  const auto is_asked = [&](const auto& set) { return only.empty() || set.name == only; };
  for (const TokenPredictions& set : predictions.tokens) {
    if (is_asked(set)) datasets[set.name] = evaluate_tokens(set);
  }
  const Predictions* validation = find(predictions.choices, "validation");
  const Predictions* test = find(predictions.choices, "test");
  for (const Predictions& set : predictions.choices) {
    if (!is_asked(set)) continue;
    nlohmann::json metrics = evaluate_predictions(set, validation, recipe.evaluation, recipe.seed);
    const bool is_shifted = &set != validation && &set != test;
    if (is_shifted && test != nullptr) metrics["detection"] = evaluate_detection(*test, set);
    datasets[set.name] = std::move(metrics);
  }
  return datasets;
}

}  // namespace chorale
