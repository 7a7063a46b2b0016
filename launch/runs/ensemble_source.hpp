// Which ensemble a command works with, as its user names it: a run, or adapters of any tool and a recipe.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "distributed/world.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/results/run_reader.hpp"

namespace chorale {

/// What stands on the command line. RUN, or --adapters with --recipe.
struct EnsembleOptions {
  std::string run;
  std::vector<std::string> adapters;
  std::string recipe;
  std::string base;    // instead of the recipe's base.path; empty: that
  std::string device;  // instead of the recipe's base.device; empty: that
};

/// Adds RUN, --adapters, --recipe, --base and --device.
void add_ensemble_options(CLI::App& command, EnsembleOptions& options);

/// The ensemble that was named, its members not yet read.
struct EnsembleSource {
  std::optional<RunReader> run;         // nothing for adapters of other tools
  Recipe recipe;                        // base path and device as the options have them, ensemble.members as found
  std::vector<std::string> checkpoint;  // of a run: the groups' files
  std::int64_t step = 0;                // of the checkpoint
  std::vector<std::string> adapters;    // else: one PEFT directory per member
};

/// Looks for what the options name; the newest valid checkpoint of a run is rank 0's choice, the same on all ranks.
/// Collective. UsageError for options that do not go together or name nothing, InputError for damaged files.
[[nodiscard]] EnsembleSource find_ensemble(const EnsembleOptions& options, World& world);

}  // namespace chorale
