// chorale merge: members of independent runs become one ensemble.
#pragma once

#include <CLI/CLI.hpp>

#include "distributed/world.hpp"

namespace chorale {

/// Rank 0 reads and writes; all ranks share what has to be computed.
void add_merge_command(CLI::App& app, World& world);

}  // namespace chorale
