#include "launch/runs/evaluation_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/storage/predictions_file.hpp"
#include "launch/results/report_files.hpp"

namespace chorale {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPredictions = "/predictions.h5";
constexpr const char* kMetrics = "/metrics.json";

void check_output(const std::string& directory) {
  std::error_code ignored;
  const std::string shown = printable(directory, 200);
  if (fs::exists(directory, ignored) && !fs::is_directory(directory, ignored)) {
    throw UsageError(fmt::format("--output: {} is a file. Name a directory.", shown));
  }
  for (const char* name : {"/recipe.yaml", kMetrics, kPredictions}) {
    if (!fs::exists(directory + name, ignored)) continue;
    throw UsageError(fmt::format("--output: {} already holds {}; nothing was changed in it. Name another directory.",
                                 shown, name + 1));
  }
}

// `found` with the sets of `changed` in place of those of the same name, new ones behind.
std::vector<Predictions> merged(std::vector<Predictions> found, const std::vector<Predictions>& changed) {
  for (const Predictions& set : changed) {
    const auto place =
        std::find_if(found.begin(), found.end(), [&](const Predictions& p) { return p.name == set.name; });
    if (place == found.end()) {
      found.push_back(set);
    } else {
      *place = set;
    }
  }
  return found;
}

}  // namespace

EvaluationFiles::EvaluationFiles(const std::string& output, const EnsembleSource& source) : directory_(output) {
  if (!output.empty()) {
    check_output(output);
    make_directories(output);
  } else if (source.run && source.run->metrics()) {
    directory_ = source.run->directory();
    into_run_ = true;
    lock_.emplace(directory_);
  }
}

std::string EvaluationFiles::write(const EnsembleSource& source, const std::string& base_fingerprint,
                                   const std::vector<Predictions>& predictions, const nlohmann::json& datasets) const {
  if (directory_.empty()) return "";
  const std::string path = directory_ + kPredictions;
  const bool has_older = into_run_ && fs::exists(path);
  if (!predictions.empty()) {
    write_predictions(path, has_older ? merged(read_predictions_file(path), predictions) : predictions);
  }
  nlohmann::json metrics;
  if (into_run_) {
    metrics = *source.run->metrics();
    metrics["datasets"].update(datasets);
  } else {
    metrics = {{"format", "chorale-metrics"},
               {"format_version", kMetricsVersion},
               {"created_by", "chorale " CHORALE_VERSION},
               {"name", source.recipe.name},
               {"seed", source.recipe.seed},
               {"base_fingerprint", base_fingerprint},
               {"members", source.recipe.ensemble.members},
               {"datasets", datasets}};
    if (source.run) metrics["step"] = source.step;
    if (!source.adapters.empty()) metrics["adapters"] = source.adapters;
  }
  write_file_atomically(directory_ + kMetrics, metrics.dump(2) + "\n");
  if (into_run_) renew_report(directory_);
  return directory_;
}

}  // namespace chorale
