// What all commands share: the options every one of them has, and the way results reach standard output.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "core/base/errors.hpp"

namespace chorale {

struct CommonOptions {
  bool quiet = false;        // warnings and errors only, no progress
  bool no_progress = false;  // no bar and no progress lines
  std::string log_level = "info";
  bool speaks = true;  // rank 0 speaks for all: the others show errors, no warnings, progress or results

  [[nodiscard]] bool shows_progress() const { return speaks && !quiet && !no_progress; }
};

/// The options of the command that runs.
[[nodiscard]] const CommonOptions& common_options();

/// Adds --quiet, --no-progress and --log-level to `command` and starts logging before the command itself runs. `speaks`
/// is false on ranks that are not to be heard beside rank 0.
void add_common_options(CLI::App& command, bool speaks);

/// The reader of our standard output went away; there is nobody to tell, so the program ends quietly.
class OutputClosed : public Error {
 public:
  OutputClosed() : Error(ExitCode::ok, "the reader of standard output went away") {}
};

/// True when results may be coloured: standard output is a terminal that wants it. Never under a launcher: mpirun gives
/// its processes a terminal of its own even when the user sends the output to a file.
[[nodiscard]] bool output_wants_colour();

/// Writes results to standard output; nothing on ranks that do not speak. Throws OutputClosed, or StorageError when the
/// output cannot be written.
void write_output(std::string_view text);

}  // namespace chorale
