#include "core/report/report_data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/ensemble/pooling.hpp"
#include "core/report/report_curves.hpp"
#include "core/report/report_examples.hpp"
#include "core/report/report_headline.hpp"
#include "core/report/report_set.hpp"
#include "core/report/report_uncertainty.hpp"
#include "core/storage/predictions_file.hpp"

namespace chorale {
namespace {

using nlohmann::json;

const json& datasets_of(const ReportRun& run) {
  static const json kNone = json::object();
  return run.metrics.is_object() && run.metrics.contains("datasets") ? run.metrics.at("datasets") : kNone;
}

std::vector<std::string> ordered_sets(const json& datasets) {
  std::vector<std::string> names;
  for (const char* first : {"test", "validation"}) {
    if (datasets.contains(first)) names.emplace_back(first);
  }
  for (const auto& [name, dataset] : datasets.items()) {
    if (name != "test" && name != "validation") names.push_back(name);
  }
  return names;
}

// One run's predictions on their way to charts and examples, read once.
class Predicted {
 public:
  Predicted(const ReportRun& run, const std::vector<std::string>& sets) : run_(run) {
    for (PredictionTable& table : read_prediction_tables(run.directory + "/predictions.h5")) {
      if (std::find(sets.begin(), sets.end(), table.name) != sets.end()) tables_.push_back(std::move(table));
    }
    const auto place = [&](const PredictionTable& table) { return std::find(sets.begin(), sets.end(), table.name); };
    std::sort(tables_.begin(), tables_.end(),
              [&](const PredictionTable& a, const PredictionTable& b) { return place(a) < place(b); });
  }

  void add_to(json& result) const {
    std::vector<SetUncertainty> uncertainties;
    const bool has_test = find("test") != nullptr;
    for (const PredictionTable& table : tables_) {
      result["charts"][table.name] = report_set(table, find("validation"), run_.evaluation, run_.seed);
      const LogRows pooled = pool(table, Pooling::arithmetic);
      SetUncertainty split{table.name, table.choices, uncertainty(table, pooled)};
      // The validation set tells nothing new beside a test set.
      if (has_test && table.name == "validation") continue;
      if (result["examples"].size() < kExampleSets) {
        result["examples"][table.name] = report_examples(table, pooled, split.values, run_.task, file_of(table.name));
      }
      uncertainties.push_back(std::move(split));
    }
    result["uncertainty"] = report_uncertainty(uncertainties);
  }

 private:
  [[nodiscard]] const PredictionTable* find(const std::string& name) const {
    const auto found =
        std::find_if(tables_.begin(), tables_.end(), [&](const PredictionTable& table) { return table.name == name; });
    return found == tables_.end() ? nullptr : &*found;
  }
  [[nodiscard]] const ReportDataFile* file_of(const std::string& name) const {
    const auto found =
        std::find_if(run_.data.begin(), run_.data.end(), [&](const ReportDataFile& file) { return file.name == name; });
    return found == run_.data.end() ? nullptr : &*found;
  }

  const ReportRun& run_;
  std::vector<PredictionTable> tables_;
};

void add_predictions(const ReportRun& run, const std::vector<std::string>& sets, json& result) {
  std::error_code ignored;
  if (!std::filesystem::exists(run.directory + "/predictions.h5", ignored)) {
    result["problems"].push_back("predictions.h5 is not there: charts and examples that rest on it are left out.");
    return;
  }
  try {
    Predicted(run, sets).add_to(result);
  } catch (const InputError& error) {
    result["problems"].push_back(fmt::format("Charts that rest on the predictions are left out: {}", error.what()));
  }
}

json run_json(const ReportRun& run) {
  const json& datasets = datasets_of(run);
  const std::vector<std::string> sets = ordered_sets(datasets);
  const bool completion = run.task.kind == TaskKind::completion;
  json result = {{"name", run.name},
                 {"directory", run.directory},
                 {"seed", std::to_string(run.seed)},
                 {"members", run.members},
                 {"completion", completion},
                 {"finished", run.metrics.is_object()},
                 {"recipe", run.recipe},
                 {"settings", run.settings},
                 {"problems", json::array()},
                 {"metrics", run.metrics},
                 {"timings", run.timings},
                 {"sets", sets},
                 {"main_set", sets.empty() ? "" : sets.front()},
                 {"headline", json::array()},
                 {"curves", report_curves(run.directory + "/log.jsonl")},
                 {"charts", json::object()},
                 {"uncertainty", json()},
                 {"examples", json::object()}};
  if (!run.metrics.is_object()) {
    result["headline"] = {"This run is not finished: it has training curves, and no results yet."};
  } else if (sets.empty()) {
    result["headline"] = {"The recipe names no test, validation or shifted set, so nothing was evaluated."};
  } else {
    result["headline"] = report_headline(sets.front(), datasets.at(sets.front()));
    if (!completion) add_predictions(run, sets, result);
  }
  return result;
}

}  // namespace

json report_data(std::span<const ReportRun> runs) {
  json list = json::array();
  const std::vector<std::string> labels = run_labels(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    list.push_back(run_json(runs[i]));
    list.back()["label"] = labels[i];
  }
  return {{"made_by", "chorale " CHORALE_VERSION}, {"runs", list}};
}

}  // namespace chorale
