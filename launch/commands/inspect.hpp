// chorale inspect: what a model, tokenizer, data, checkpoint or predictions file holds.
#pragma once

#include <CLI/CLI.hpp>

namespace chorale {

void add_inspect_command(CLI::App& app);

}  // namespace chorale
