// What all commands share: the options every one of them has, and the way results reach standard output.
#pragma once

#include <CLI/CLI.hpp>
#include <exception>
#include <string>
#include <string_view>

namespace chorale {

struct CommonOptions {
  bool quiet = false;        // warnings and errors only, no progress
  bool no_progress = false;  // no bar and no progress lines
  std::string log_level = "info";

  [[nodiscard]] bool shows_progress() const { return !quiet && !no_progress; }
};

/// The options of the command that runs.
[[nodiscard]] const CommonOptions& common_options();

/// Adds --quiet, --no-progress and --log-level to `command` and starts logging before the command itself runs.
void add_common_options(CLI::App& command);

/// The reader of our standard output went away; there is nobody to tell, so the program ends quietly.
class OutputClosed : public std::exception {};

/// Writes results to standard output. Throws OutputClosed, or StorageError when the output cannot be written.
void write_output(std::string_view text);

}  // namespace chorale
