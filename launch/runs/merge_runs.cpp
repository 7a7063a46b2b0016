#include "launch/runs/merge_runs.hpp"

#include <fmt/format.h>

#include <optional>
#include <span>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/storage/predictions_file.hpp"
#include "core/storage/run_lock.hpp"
#include "launch/results/whole_checkpoint.hpp"
#include "launch/runs/merge_parts.hpp"
#include "launch/runs/run_evaluation.hpp"
#include "launch/training/evaluation.hpp"
#include "launch/training/run_directory.hpp"

namespace chorale {
namespace {

nlohmann::json sources(const std::vector<MergePart>& parts) {
  nlohmann::json list = nlohmann::json::array();
  for (const MergePart& part : parts) {
    list.push_back({{"directory", part.run.directory()},
                    {"name", part.run.recipe().name},
                    {"seed", part.run.recipe().seed},
                    {"members", part.members.size()},
                    {"step", part.header.step}});
  }
  return {{"format", "chorale-merged"}, {"format_version", 1}, {"runs", list}};
}

// Rank 0's work before anything has to be computed.
class Merge {
 public:
  Merge(const std::vector<std::string>& runs, const std::string& output) {
    if (runs.size() < 2) throw UsageError("one run is an ensemble already. Give two runs or more.");
    for (const std::string& run : runs) parts_.push_back(read_part(run));
    check_mergeable(parts_);
    predictions_ = merged_predictions(parts_);
    recipe_ = merged_recipe(parts_, output);
    if (needs_evaluation()) return;
    if (predictions_.empty()) {
      throw UsageError(
          "the runs have no data set in common, so nothing says how good their ensemble is. Evaluate them "
          "on the same set first: `chorale evaluate RUN --data FILE --name NAME`.");
    }
  }

  [[nodiscard]] bool needs_evaluation() const { return recipe_.task.kind == TaskKind::completion; }

  void begin() {
    directory_.emplace(recipe_.output_directory);
    lock_.emplace(recipe_.output_directory);
    training_ = merged_training(parts_);
    // First of all: whatever comes of the rest, this directory is none to train on.
    write_file_atomically(directory_->file(kMergedName), sources(parts_).dump(2) + "\n");
    write_file_atomically(directory_->file("recipe.yaml"), resolved_yaml(recipe_));
    write_whole_checkpoint(parts_.front().header, merged_members(parts_), recipe_,
                           training_["steps"].get<std::int64_t>(), directory_->file("checkpoints"));
    write_file_atomically(directory_->file("log.jsonl"), merged_log(parts_));
  }

  // `computed`: the metrics, where the runs' predictions are not enough for them.
  [[nodiscard]] nlohmann::json finish(const std::optional<nlohmann::json>& computed) const {
    if (!predictions_.empty()) write_predictions(directory_->file("predictions.h5"), predictions_);
    nlohmann::json metrics = *parts_.front().run.metrics();
    metrics["created_by"] = "chorale " CHORALE_VERSION;
    metrics["members"] = recipe_.ensemble.members;
    metrics["training"] = training_;
    metrics["datasets"] = computed ? *computed : metrics_of({predictions_, {}}, recipe_);
    write_file_atomically(directory_->file("metrics.json"), metrics.dump(2) + "\n");
    return metrics;
  }

 private:
  std::vector<MergePart> parts_;
  std::vector<Predictions> predictions_;
  Recipe recipe_;
  nlohmann::json training_;
  std::optional<RunDirectory> directory_;
  std::optional<RunLock> lock_;
};

}  // namespace

nlohmann::json merge_runs(const std::vector<std::string>& runs, const std::string& output, World& world,
                          Progress& progress) {
  std::optional<Merge> merge;
  bool evaluates = false;
  world.on_root([&] {
    merge.emplace(runs, output);
    merge->begin();
    evaluates = merge->needs_evaluation();
  });
  evaluates = world.broadcast(evaluates ? "yes" : "no") == "yes";
  std::optional<nlohmann::json> computed;
  if (evaluates) {
    EvaluationRequest request;
    request.ensemble.run = output;
    computed = evaluate_ensemble(request, world, progress).datasets;
  }
  nlohmann::json metrics;
  world.on_root([&] { metrics = merge->finish(computed); });
  return metrics;
}

}  // namespace chorale
