// What report.html is made from: a run as the report sees it, whoever read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/calibration/evaluation_config.hpp"
#include "core/data/task.hpp"

namespace chorale {

/// The data file behind a set of predictions.
struct ReportDataFile {
  std::string name;  // validation, test or a shifted set's name
  std::string path;  // as the recipe has it, from the working directory of the run
  std::size_t limit = 0;
};

struct ReportRun {
  std::string directory;  // holds predictions.h5 and log.jsonl
  std::string name;
  std::uint64_t seed = 0;
  std::int64_t members = 0;
  TaskConfig task;
  EvaluationConfig evaluation;
  std::vector<ReportDataFile> data;
  std::string recipe;                                         // resolved YAML
  std::vector<std::pair<std::string, std::string>> settings;  // the recipe, flat: dotted key and value, in its order
  nlohmann::json metrics;                                     // metrics.json; null while the run is not finished
  nlohmann::json timings;                                     // timings.json; null when there is none
};

/// What to call each of the runs where they stand side by side: by their names where all differ, else by the last part
/// of their directories where those differ, else by the directories.
[[nodiscard]] std::vector<std::string> run_labels(std::span<const ReportRun> runs);

}  // namespace chorale
