#include "launch/commands/evaluate.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "core/base/errors.hpp"
#include "core/report/result_table.hpp"
#include "launch/commands/common.hpp"
#include "launch/progress/progress.hpp"
#include "launch/runs/run_evaluation.hpp"

namespace chorale {
namespace {

struct Options {
  EvaluationRequest request;
  std::string format = "table";
};

void print(const nlohmann::json& datasets, const std::string& format) {
  if (format == "json") {
    write_output(nlohmann::json{{"datasets", datasets}}.dump(2) + "\n");
    return;
  }
  for (const auto& [name, dataset] : datasets.items()) {
    write_output(fmt::format("\n{} set\n\n{}", name, result_table(dataset, output_wants_colour())));
  }
  const std::string shifted = shifted_table(datasets);
  if (!shifted.empty()) write_output("\n" + shifted);
}

void evaluate(const Options& options, World& world) {
  Progress progress(progress_mode(common_options().shows_progress()));
  const EvaluationOutcome outcome = evaluate_ensemble(options.request, world, progress);
  world.on_root([&] {
    print(outcome.datasets, options.format);
    if (!outcome.written_to.empty()) {
      spdlog::info("written to {}: predictions.h5 (unless it is a completion task) and metrics.json",
                   outcome.written_to);
    } else {
      spdlog::info("nothing was written; --output DIR keeps predictions and metrics");
    }
  });
}

}  // namespace

void add_evaluate_command(CLI::App& app, World& world) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("evaluate", "Predictions and metrics of a trained ensemble on its own or on other data");
  EvaluationRequest& request = options->request;
  add_ensemble_options(*command, request.ensemble);
  command->add_option("--data", request.data, "A .jsonl, .csv or .tsv file, instead of the recipe's sets");
  command->add_option("--name", request.name, "What to call it (the file's name without its ending)");
  command->add_option("--limit", request.limit, "The first N records of --data only")->check(CLI::PositiveNumber);
  command->add_flag("--unlabelled", request.unlabelled,
                    "Answers may be missing in --data: uncertainty and detection only");
  command->add_option("--output", request.output, "A directory for predictions.h5 and metrics.json");
  command->add_option("--format", options->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  command->footer(
      "Without --output the results of a finished run go into the run itself: its own sets are replaced, --data is "
      "one\n"
      "set more. A run that is still training is only read, at its newest checkpoint. Temperatures are those of the\n"
      "run's validation set.\n\n"
      "Examples:\n"
      "  chorale evaluate runs/quickstart --data data/wordnet/test.jsonl --name again \\\n"
      "    --output runs/again\n"
      "  chorale evaluate --adapters a b c --recipe mine.yaml\n");
  command->callback([options, &world] { evaluate(*options, world); });
}

}  // namespace chorale
