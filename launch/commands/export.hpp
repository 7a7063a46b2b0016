// chorale export: the members of a run for the tools that people already have.
#pragma once

#include <CLI/CLI.hpp>

namespace chorale {

void add_export_command(CLI::App& app);

}  // namespace chorale
