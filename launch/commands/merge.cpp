#include "launch/commands/merge.hpp"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "core/report/result_table.hpp"
#include "launch/commands/common.hpp"
#include "launch/progress/progress.hpp"
#include "launch/runs/merge_runs.hpp"

namespace chorale {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string output;
};

void merge(const Options& options, World& world) {
  Progress progress(progress_mode(common_options().shows_progress()));
  const nlohmann::json metrics = merge_runs(options.runs, options.output, world, progress);
  world.on_root([&] {
    const nlohmann::json& datasets = metrics["datasets"];
    for (const char* name : {"test", "validation"}) {
      if (!datasets.contains(name)) continue;
      write_output(fmt::format("\n{} set: {} members of {} runs\n\n{}", name, metrics["members"].get<std::int64_t>(),
                               options.runs.size(), result_table(datasets[name], output_wants_colour())));
      break;
    }
    const std::string shifted = shifted_table(datasets);
    if (!shifted.empty()) write_output("\n" + shifted);
    write_output(fmt::format("\nresults in {}: metrics.json, predictions.h5, log.jsonl, recipe.yaml, merged.json\n",
                             options.output));
  });
}

}  // namespace

void add_merge_command(CLI::App& app, World& world) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("merge", "Make the members of independent runs one ensemble, evaluated together");
  command->add_option("RUN", options->runs, "Finished runs of the same base, task and adapter shape, two or more")
      ->required();
  command->add_option("--output", options->output, "The new run directory")->required();
  command->footer(
      "Runs of a job array, of other days or other machines. Each needs a seed of its own, for equal seeds give equal\n"
      "members. The result can be evaluated, exported and reported on like any run, and merged again.\n\n"
      "Example:\n  chorale merge runs/seed1 runs/seed2 runs/seed3 --output runs/all\n");
  command->callback([options, &world] { merge(*options, world); });
}

}  // namespace chorale
