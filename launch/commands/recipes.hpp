// chorale recipes: the recipes that come with the program, listed, shown and copied.
#pragma once

#include <CLI/CLI.hpp>

namespace chorale {

void add_recipes_command(CLI::App& app);

}  // namespace chorale
