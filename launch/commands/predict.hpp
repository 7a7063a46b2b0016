// chorale predict: what the ensemble says about new records, and how sure it is.
#pragma once

#include <CLI/CLI.hpp>

#include "distributed/world.hpp"

namespace chorale {

/// All ranks share the work; rank 0 writes.
void add_predict_command(CLI::App& app, World& world);

}  // namespace chorale
