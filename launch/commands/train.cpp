#include "launch/commands/train.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/base/interruption.hpp"
#include "core/report/result_table.hpp"
#include "core/report/table.hpp"
#include "launch/commands/common.hpp"
#include "launch/progress/format.hpp"
#include "launch/progress/progress.hpp"
#include "launch/recipe/files.hpp"
#include "launch/recipe/notes.hpp"
#include "launch/training/growth.hpp"
#include "launch/training/same_inputs.hpp"

namespace chorale {
namespace {

constexpr std::size_t kLabel = 14;  // columns of what stands before a value, as in the tables above

struct Options {
  std::string recipe;
  std::vector<std::string> overrides;
  bool resume = false;
};

// "loading 1.2 s, training 94.1 s, ...": the phases a run's timings name.
std::string phases_text(const nlohmann::json& timings) {
  std::string text;
  for (const char* phase : {"loading", "training", "saving", "evaluation"}) {
    const nlohmann::json seconds = timings.value("seconds", nlohmann::json::object()).value(phase, nlohmann::json());
    if (seconds.is_number()) {
      text += fmt::format("{}{} {:.1f} s", text.empty() ? "" : ", ", phase, seconds.get<double>());
    }
  }
  return text;
}

// Gigabytes of the rank that took most.
double peak_of(const nlohmann::json& timings) {
  double peak = 0.0;
  for (const nlohmann::json& bytes : timings.value("peak_memory_bytes", nlohmann::json::array())) {
    peak = std::max(peak, bytes.get<double>());
  }
  return peak * 1e-9;
}

void print_result(const Recipe& recipe, const RunResult& result) {
  const nlohmann::json& datasets = result.metrics["datasets"];
  const bool colour = output_wants_colour();
  for (const char* name : {"test", "validation"}) {
    if (!datasets.contains(name)) continue;
    write_output(fmt::format("\n{} set: {}\n\n{}", name, recipe.name, result_table(datasets[name], colour)));
    break;
  }
  const std::size_t columns = columns_of(STDOUT_FILENO);
  const std::string shifted = shifted_table(datasets, columns);
  if (!shifted.empty()) write_output("\n" + shifted);
  const nlohmann::json& timings = result.timings;
  const auto ranks = timings.value("ranks", std::int64_t{1});
  std::string text = "\n" + beside("time", kLabel, phases_text(timings), columns);
  if (const auto speed = timings.value("tokens_per_second", 0.0); speed > 0.0) {
    text += beside("speed", kLabel, fmt::format("{} tokens/s in training, all members together", format_count(speed)),
                   columns);
  }
  text += beside(
      "peak memory", kLabel,
      fmt::format("{:.2f} GB{}", peak_of(timings), ranks > 1 ? fmt::format(" on the largest of {} ranks", ranks) : ""),
      columns);
  const bool chooses = recipe.task.kind == TaskKind::multiple_choice;
  text += fmt::format("{:<{}}{}\n", "results in", kLabel, recipe.output_directory);
  text += beside("", kLabel,
                 fmt::format("report.html, metrics.json, {}log.jsonl, recipe.yaml, checkpoints/, tensorboard/",
                             chooses ? "predictions.h5, " : ""),
                 columns);
  write_output(text);
}

void train(const Options& options, World& world) {
  note_signals_as_interruption();
  Recipe recipe;
  world.together([&] { recipe = load_recipe_and_check_files(options.recipe, options.overrides); });
  check_same_recipe(recipe, world);
  for (const std::string& note : recipe_notes(recipe)) spdlog::info("{}", note);
  Progress progress(progress_mode(common_options().shows_progress()));
  const RunResult result = train_or_grow(recipe, options.resume, world, progress);
  world.on_root([&] { print_result(recipe, result); });
}

}  // namespace

void add_train_command(CLI::App& app, World& world) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train an ensemble, evaluate it and write the run directory");
  command->add_option("RECIPE", options->recipe, "A YAML recipe (recipes/README.md lists every key)")->required();
  command->add_option("OVERRIDES", options->overrides, "dotted.key=value, values as in YAML; list items by index");
  command->add_flag("--resume", options->resume, "Go on with the run that is in the output directory");
  command->footer(
      "Examples:\n"
      "  chorale train recipes/quickstart.yaml seed=7 output.directory=runs/seed7\n"
      "  mpirun -n 4 --bind-to none chorale train recipes/quickstart.yaml --resume\n"
      "  chorale train recipes/quickstart.yaml ensemble.members=8 --resume\n");
  command->callback([options, &world] { train(*options, world); });
}

}  // namespace chorale
