// chorale validate: all mistakes of a recipe at once.
#pragma once

#include <CLI/CLI.hpp>

namespace chorale {

void add_validate_command(CLI::App& app);

}  // namespace chorale
