// chorale train: the main job.
#pragma once

#include <CLI/CLI.hpp>

#include "distributed/world.hpp"

namespace chorale {

/// All ranks take part.
void add_train_command(CLI::App& app, World& world);

}  // namespace chorale
