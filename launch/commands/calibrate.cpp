#include "launch/commands/calibrate.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/calibration/evaluate_table.hpp"
#include "core/calibration/read_predictions.hpp"
#include "core/report/result_table.hpp"
#include "core/report/table.hpp"
#include "launch/commands/common.hpp"

namespace chorale {
namespace {

struct CalibrateOptions {
  std::string file;
  std::string validation;
  std::string format = "table";
  std::int64_t bins = 15;
  std::int64_t bootstrap = 1000;
  std::uint64_t seed = 1234;
};

// The set temperatures are fitted on: the one called `validation`, or the only one.
PredictionTable validation_set(const std::string& path) {
  std::vector<PredictionTable> sets = read_predictions(path);
  const auto named = std::find_if(sets.begin(), sets.end(), [](const auto& set) { return set.name == "validation"; });
  if (named != sets.end()) {
    return *named;
  }
  if (sets.size() > 1) {
    throw InputError(
        fmt::format("{}: holds {} sets and none is called 'validation'. Give a file with one set, or name "
                    "the set so.",
                    path, sets.size()));
  }
  return sets.front();
}

// A person should learn from the command, not from a missing key, why numbers are missing.
void warn(const PredictionTable& set, const nlohmann::json& dataset, bool with_validation) {
  const auto say = [&](const std::string& message) { spdlog::warn("{}: {}", printable(set.name), message); };
  const auto labelled = dataset.at("labelled").get<std::size_t>();
  if (labelled == 0) {
    say("no example has a label: only uncertainty can be reported");
  } else if (labelled < set.examples) {
    say(fmt::format("{} of {} examples have no label and count for uncertainty only", set.examples - labelled,
                    set.examples));
  }
  if (labelled > 0 && dataset.at("ensemble").contains("infinite")) {
    say(fmt::format("the ensemble gives {} labels probability zero: its NLL is infinite",
                    dataset.at("ensemble").at("infinite").dump()));
  }
  if (labelled > 0 && with_validation && !dataset.contains("ensemble_temperature_scaled")) {
    say("the validation set has no usable label: no temperature can be fitted");
  }
}

// Shifted sets are those that are none of the three a training run has.
bool is_shifted(const std::string& name) {
  return name != "test" && name != "validation" && name != "train";
}

nlohmann::json evaluate_all(const std::vector<PredictionTable>& sets, const CalibrateOptions& options) {
  std::optional<PredictionTable> validation;
  if (!options.validation.empty()) {
    validation = validation_set(options.validation);
  }
  EvaluationConfig config;
  config.ece_bins = options.bins;
  config.bootstrap = options.bootstrap;
  const auto test = std::find_if(sets.begin(), sets.end(), [](const auto& set) { return set.name == "test"; });
  nlohmann::json datasets = nlohmann::json::object();
  for (const PredictionTable& set : sets) {
    nlohmann::json dataset = evaluate_table(set, validation ? &*validation : nullptr, config, options.seed);
    if (test != sets.end() && is_shifted(set.name)) {
      dataset["detection"] = detect_table(*test, set);
    }
    warn(set, dataset, validation.has_value());
    datasets[set.name] = std::move(dataset);
  }
  return datasets;
}

std::string tables(const std::vector<PredictionTable>& sets, const nlohmann::json& datasets) {
  const std::size_t columns = columns_of(STDOUT_FILENO);
  std::string text;
  for (const PredictionTable& set : sets) {
    text += fmt::format("{}\n{}\n", shortened(printable(set.name), columns),
                        result_table(datasets.at(set.name), output_wants_colour()));
  }
  return text + shifted_table(datasets, columns);
}

void calibrate(const CalibrateOptions& options) {
  const std::vector<PredictionTable> sets = read_predictions(options.file);
  const nlohmann::json datasets = evaluate_all(sets, options);
  if (options.format == "table") {
    write_output(tables(sets, datasets));
    return;
  }
  const nlohmann::json result = sets.size() == 1 ? datasets.begin().value() : nlohmann::json{{"datasets", datasets}};
  write_output(result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace

void add_calibrate_command(CLI::App& app) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App* command = app.add_subcommand("calibrate", "All metrics from predictions alone, ours or anyone's");
  command->add_option("FILE", options->file, "Predictions: .h5 of a run, .jsonl, .csv or .tsv")->required();
  command->add_option("--validation", options->validation,
                      "Predictions of the same models on validation data: adds the temperature-scaled rows");
  command->add_option("--format", options->format, "table | json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  command->add_option("--bins", options->bins, "Bins of the calibration error")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--bootstrap", options->bootstrap, "Resamples for the 95 % intervals; 0: none")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of the resamples")->capture_default_str();
  command->footer(
      "A line of a .jsonl file: {\"label\": 1, \"members\": [[0.2, 0.8], [0.4, 0.6]]}\n\n"
      "Example:\n"
      "  chorale calibrate test.jsonl --validation validation.jsonl --format json\n");
  command->callback([options] { calibrate(*options); });
}

}  // namespace chorale
