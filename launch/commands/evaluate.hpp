// chorale evaluate: metrics of a trained ensemble on its own data sets or on another one.
#pragma once

#include <CLI/CLI.hpp>

#include "distributed/world.hpp"

namespace chorale {

/// All ranks share the work; rank 0 prints and writes.
void add_evaluate_command(CLI::App& app, World& world);

}  // namespace chorale
