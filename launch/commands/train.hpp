// chorale train: the main job.
#pragma once

#include <CLI/CLI.hpp>

namespace chorale {

void add_train_command(CLI::App& app);

}  // namespace chorale
