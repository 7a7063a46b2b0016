// chorale doctor: what the program runs with here, and whether its ranks can talk.
#pragma once

#include <CLI/CLI.hpp>

#include "distributed/world.hpp"

namespace chorale {

/// All ranks take part.
void add_doctor_command(CLI::App& app, World& world);

}  // namespace chorale
