#include "launch/results/report_source.hpp"

#include <utility>

#include "launch/recipe/differences.hpp"

namespace chorale {
namespace {

std::vector<ReportDataFile> data_files(const DataConfig& data) {
  std::vector<ReportDataFile> files;
  const auto add = [&](const std::string& name, const DataFileConfig& file) {
    files.push_back({name, file.path, file.limit});
  };
  if (data.validation) {
    add("validation", *data.validation);
  } else if (data.train) {
    add("validation", *data.train);  // a share of it
  }
  if (data.test) add("test", *data.test);
  for (const DataFileConfig& file : data.shifted) add(file.name, file);
  return files;
}

}  // namespace

ReportRun report_run(const Recipe& recipe, const std::string& recipe_text, nlohmann::json metrics,
                     nlohmann::json timings) {
  ReportRun run;
  run.directory = recipe.output_directory;
  run.name = recipe.name;
  run.seed = recipe.seed;
  run.members = recipe.ensemble.members;
  run.task = recipe.task;
  run.evaluation = recipe.evaluation;
  run.data = data_files(recipe.data);
  run.recipe = recipe_text;
  run.settings = recipe_settings(recipe_text);
  run.metrics = std::move(metrics);
  run.timings = std::move(timings);
  return run;
}

ReportRun report_run(const RunReader& reader) {
  return report_run(reader.recipe(), reader.recipe_text(), reader.metrics().value_or(nlohmann::json()),
                    reader.timings());
}

}  // namespace chorale
