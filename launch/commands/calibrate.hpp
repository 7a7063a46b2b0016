// `chorale calibrate FILE`: every metric from predictions alone, ours or anyone's.
#pragma once

#include <CLI/CLI.hpp>

namespace chorale {

/// Adds the command to `app`; its callback runs it. Results go to standard output, warnings to standard error. Throws
/// what read_predictions and evaluate_table throw.
void add_calibrate_command(CLI::App& app);

}  // namespace chorale
