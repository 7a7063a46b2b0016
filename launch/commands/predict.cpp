#include "launch/commands/predict.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <optional>
#include <string>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "launch/commands/common.hpp"
#include "launch/progress/progress.hpp"
#include "launch/runs/ensemble_source.hpp"
#include "launch/runs/loaded_ensemble.hpp"
#include "launch/runs/prediction_lines.hpp"
#include "launch/training/evaluation.hpp"
#include "launch/training/same_inputs.hpp"

namespace chorale {
namespace {

struct Options {
  EnsembleOptions ensemble;
  std::string data;
  std::size_t limit = 0;
  std::string output;
  std::string format = "jsonl";
};

std::optional<double> temperature_of(const EnsembleSource& source) {
  if (!source.run || !source.run->metrics()) return std::nullopt;
  const nlohmann::json found = fitted_temperature(source.run->metrics()->value("datasets", nlohmann::json::object()),
                                                  "/ensemble_temperature_scaled/temperature");
  return found.is_number() ? std::optional(found.get<double>()) : std::nullopt;
}

void predict(const Options& options, World& world) {
  const EnsembleSource source = find_ensemble(options.ensemble, world);
  const Recipe& recipe = source.recipe;
  LoadedEnsemble ensemble(source, world);
  ExampleSet set;
  world.together([&] {
    if (recipe.task.kind == TaskKind::completion) {
      throw UsageError(
          "task.kind: this ensemble completes text and has no choices to predict. `chorale evaluate` gives the "
          "perplexity of answers.");
    }
    // Answers may be there or not.
    set = load_example_set(recipe, {"predictions", options.data, options.limit, /*labelled=*/false}, ensemble.tokens());
  });
  check_same_data({&set}, world);
  ensemble.load();
  Progress progress(progress_mode(common_options().shows_progress()));
  const SetPredictions predictions =
      predict_sets({&set}, recipe, ensemble.decoder(), ensemble.bank(), {}, ensemble.run(), progress);
  world.on_root([&] {
    const std::optional<double> temperature = temperature_of(source);
    const std::string text = options.format == "csv" ? prediction_csv(predictions.choices.front(), set, temperature)
                                                     : prediction_lines(predictions.choices.front(), set, temperature);
    if (options.output.empty()) {
      write_output(text);
    } else {
      write_file_atomically(options.output, text);
      spdlog::info("{} predictions in {}", set.examples.size(), options.output);
    }
  });
}

}  // namespace

void add_predict_command(CLI::App& app, World& world) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("predict", "Predict new records with a trained ensemble, a JSON line each");
  add_ensemble_options(*command, options->ensemble);
  command->add_option("--data", options->data, "A .jsonl, .csv or .tsv file with the fields of the recipe's task")
      ->required();
  command->add_option("--limit", options->limit, "The first N records only")->check(CLI::PositiveNumber);
  command->add_option("--output", options->output, "A file, instead of standard output");
  command->add_option("--format", options->format, "jsonl or csv")
      ->check(CLI::IsMember({"jsonl", "csv"}))
      ->capture_default_str();
  command->footer(
      "A line has id, prediction (index), option, confidence, probabilities, uncertainty, members, label if there is\n"
      "one, and calibrated probabilities if the run has fitted a temperature.\n\n"
      "Examples:\n"
      "  chorale predict runs/quickstart --data data/wordnet/test.jsonl --limit 3\n"
      "  chorale predict --adapters a b c --recipe mine.yaml --data new.csv \\\n"
      "    --format csv --output new_predictions.csv\n");
  command->callback([options, &world] { predict(*options, world); });
}

}  // namespace chorale
