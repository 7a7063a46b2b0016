#include "launch/commands/train.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "core/report/result_table.hpp"
#include "core/report/table.hpp"
#include "launch/commands/common.hpp"
#include "launch/progress/progress.hpp"
#include "launch/recipe/files.hpp"
#include "launch/recipe/notes.hpp"
#include "launch/training/run_training.hpp"

namespace chorale {
namespace {

struct Options {
  std::string recipe;
  std::vector<std::string> overrides;
};

void print_result(const Recipe& recipe, const nlohmann::json& metrics) {
  const nlohmann::json& datasets = metrics["datasets"];
  const bool colour = wants_colour(STDOUT_FILENO);
  for (const char* name : {"test", "validation"}) {
    if (!datasets.contains(name)) continue;
    write_output(fmt::format("\n{} set: {}\n\n{}", name, recipe.name, result_table(datasets[name], colour)));
    break;
  }
  const std::string shifted = shifted_table(datasets);
  if (!shifted.empty()) write_output("\n" + shifted);
  const nlohmann::json& seconds = metrics["seconds"];
  write_output(fmt::format(
      "\nloading {:.1f} s, training {:.1f} s, evaluation {:.1f} s, peak memory {:.2f} GB\n"
      "results in {}: metrics.json, predictions.h5, log.jsonl, recipe.yaml\n",
      seconds["loading"].get<double>(), seconds["training"].get<double>(), seconds["evaluation"].get<double>(),
      metrics["peak_memory_bytes"].get<double>() * 1e-9, recipe.output_directory));
}

void train(const Options& options) {
  const Recipe recipe = load_recipe_and_check_files(options.recipe, options.overrides);
  for (const std::string& note : recipe_notes(recipe)) spdlog::info("{}", note);
  Progress progress(progress_mode(common_options().shows_progress()));
  print_result(recipe, run_training(recipe, progress));
}

}  // namespace

void add_train_command(CLI::App& app, World& /*world*/) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train an ensemble, evaluate it and write the run directory");
  command->add_option("RECIPE", options->recipe, "A YAML recipe (recipes/README.md lists every key)")->required();
  command->add_option("OVERRIDES", options->overrides, "dotted.key=value, values as in YAML; list items by index");
  command->footer("Example:\n  chorale train recipes/quickstart.yaml ensemble.members=3 output.directory=runs/three\n");
  command->callback([options] { train(*options); });
}

}  // namespace chorale
