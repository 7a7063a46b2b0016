#include "launch/training/run_files.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/file_calls.hpp"
#include "core/base/whole_file.hpp"
#include "core/storage/predictions_file.hpp"
#include "launch/recipe/differences.hpp"
#include "launch/results/report_files.hpp"
#include "launch/results/report_source.hpp"
#include "launch/results/run_reader.hpp"
#include "launch/training/log_file.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

// Files of ours were written whole or not at all; anything else counts as not there.
nlohmann::json object_of(const std::string& path) {
  nlohmann::json value = nlohmann::json::parse(read_whole_file(path).value_or(""), nullptr, /*allow_exceptions=*/false);
  return value.is_object() ? value : nlohmann::json();
}

// Where and how a run is carried out does not change its result.
bool asks_for_nothing_new(const std::string& stored, const Recipe& recipe) {
  const std::vector<RecipeDifference> differences = recipe_differences(stored, resolved_yaml(recipe));
  return std::all_of(differences.begin(), differences.end(), [](const RecipeDifference& difference) {
    return difference.key.starts_with("output.") || difference.key.starts_with("checkpoint.") ||
           difference.key.starts_with("distributed.");
  });
}

}  // namespace

RunFiles::RunFiles(const Recipe& recipe, bool resume)
    : directory_(recipe.output_directory, resume), lock_(recipe.output_directory) {
  if (!lock_.note().empty()) spdlog::warn("{}", lock_.note());
  const std::string path = file("recipe.yaml");
  if (!resume || !fs::exists(path)) return;
  const std::string stored = read_whole_file(path).value_or("");
  check_resumable(stored, recipe, path);
  const nlohmann::json metrics = object_of(file("metrics.json"));
  const bool is_complete = !metrics.is_null() && asks_for_nothing_new(stored, recipe);
  if (!is_complete && fs::exists(file(kMergedName))) {
    throw UsageError(fmt::format(
        "{}: was merged from several runs, whose training cannot go on in it. Go on with those and merge them again, "
        "or evaluate it on other data by `chorale evaluate`.",
        directory_.path()));
  }
  if (!is_complete) return;
  // Times are of no importance: a run that has lost them is finished all the same.
  nlohmann::json timings = object_of(file("timings.json"));
  finished_ = RunResult{metrics, timings.is_null() ? nlohmann::json::object() : std::move(timings)};
}

double RunFiles::begin(const Recipe& recipe, std::int64_t step) const {
  directory_.remove_unfinished();
  // First of all: metrics of what the run was, beside the recipe of what it becomes, would make it a finished one.
  remove_metrics();
  const double seconds = LogFile::cut_after(file("log.jsonl"), step);
  write_file_atomically(file("recipe.yaml"), resolved_yaml(recipe));
  return seconds;
}

void RunFiles::remove_metrics() const {
  remove(file("metrics.json"));
}

void RunFiles::remove(const std::string& path) const {
  if (!fs::exists(path)) return;
  if (const int failure = file_calls::unlink(path); failure != 0) throw_storage_error("remove", path, failure);
  sync_directory(directory_.path());
}

void RunFiles::finish(const Recipe& recipe, const std::vector<Predictions>& predictions,
                      const RunResult& result) const {
  const std::string path = file("predictions.h5");
  if (predictions.empty()) {
    remove(path);
  } else {
    write_predictions(path, predictions);
  }
  write_report_of_training(report_run(recipe, resolved_yaml(recipe), result.metrics, result.timings));
  write_file_atomically(file("timings.json"), result.timings.dump(2) + "\n");
  write_file_atomically(file("metrics.json"), result.metrics.dump(2) + "\n");
}

}  // namespace chorale
