// chorale score: how likely a base model, or adapters over it, find texts.
#pragma once

#include <CLI/CLI.hpp>

namespace chorale {

void add_score_command(CLI::App& app);

}  // namespace chorale
