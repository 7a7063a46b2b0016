#include "launch/runs/ensemble_source.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/interop/ensemble_index.hpp"
#include "core/weights/base_files.hpp"
#include "launch/training/same_inputs.hpp"

namespace chorale {
namespace {

void check_options(const EnsembleOptions& options) {
  if (!options.run.empty() && (!options.adapters.empty() || !options.recipe.empty())) {
    throw UsageError("RUN has members and a recipe of its own. Give RUN, or --adapters with --recipe.");
  }
  if (options.run.empty() && options.adapters.empty()) {
    throw UsageError("nothing to work with. Give a run directory, or --adapters DIR... with --recipe RECIPE.");
  }
  if (options.run.empty() && options.recipe.empty()) {
    throw UsageError("--adapters needs --recipe, which names the base and says what the task is. Add --recipe RECIPE.");
  }
}

void check_base(const EnsembleSource& source) {
  std::error_code ignored;
  if (std::filesystem::exists(source.recipe.base.path, ignored)) return;
  throw UsageError(fmt::format(
      "base.path: there is no model '{}' (paths count from the working directory). Give its place by --base.",
      printable(source.recipe.base.path, 200)));
}

// Rank 0's choice on every rank: a running run may commit another one at any moment.
void agree_on_checkpoint(EnsembleSource& source, World& world) {
  nlohmann::json told;
  world.on_root([&] {
    const FoundCheckpoint found = source.run->checkpoint();
    told = {{"step", found.step}, {"files", found.files}};
  });
  told = nlohmann::json::parse(world.broadcast(told.dump()));
  source.step = told["step"].get<std::int64_t>();
  source.checkpoint = told["files"].get<std::vector<std::string>>();
}

}  // namespace

void add_ensemble_options(CLI::App& command, EnsembleOptions& options) {
  command.add_option("RUN", options.run, "A run directory, as `chorale train` writes it");
  command.add_option("--adapters", options.adapters,
                     "PEFT adapter directories of any tool, a member each, instead of RUN; one with an ensemble.json "
                     "stands for its members");
  command.add_option("--recipe", options.recipe, "With --adapters: a recipe with base, data and task");
  command.add_option("--base", options.base, "Where the base model is now, if not at the recipe's base.path");
  command.add_option("--device", options.device, "auto, cpu or cuda, instead of the recipe's")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
}

EnsembleSource find_ensemble(const EnsembleOptions& options, World& world) {
  EnsembleSource source;
  world.together([&] {
    check_options(options);
    if (options.run.empty()) {
      source.recipe = load_evaluation_recipe(options.recipe);
    } else {
      source.run.emplace(options.run);
      source.recipe = source.run->recipe();
    }
    if (!options.base.empty()) source.recipe.base.path = options.base;
    if (!options.device.empty()) source.recipe.base.device = options.device;
    check_base(source);
    if (source.run) return;
    source.adapters = expand_adapter_directories(options.adapters, open_base(source.recipe.base.path).get());
    source.recipe.ensemble.members = static_cast<std::int64_t>(source.adapters.size());
  });
  check_same_recipe(source.recipe, world);
  if (source.run) agree_on_checkpoint(source, world);
  return source;
}

}  // namespace chorale
