// chorale plan: what a run would do to each rank, before any is started.
#pragma once

#include <CLI/CLI.hpp>

namespace chorale {

void add_plan_command(CLI::App& app);

}  // namespace chorale
