#include "launch/commands/common.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/report/table.hpp"
#include "distributed/world.hpp"
#include "launch/progress/log_sink.hpp"

namespace chorale {
namespace {

CommonOptions& options() {
  static CommonOptions value;
  return value;
}

}  // namespace

const CommonOptions& common_options() {
  return options();
}

void add_common_options(CLI::App& command, bool speaks) {
  options().speaks = speaks;
  command.add_flag("--quiet", options().quiet, "Warnings and errors only")->group("Everywhere");
  command.add_flag("--no-progress", options().no_progress, "No progress bar and no progress lines")
      ->group("Everywhere");
  command.add_option("--log-level", options().log_level, "trace, debug, info, warning, error or off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "off"}))
      ->capture_default_str()
      ->group("Everywhere");
  command.parse_complete_callback([] {
    const std::string& level = options().log_level;
    // Every rank reads the same recipe and the same data, and finds the same to warn of: rank 0 says it.
    const bool silent = !options().speaks && level != "off";
    start_logging(silent ? "error" : options().quiet && level == "info" ? "warning" : level);
  });
}

bool output_wants_colour() {
  return !launched_by_mpi() && wants_colour(STDOUT_FILENO);
}

void write_output(std::string_view text) {
  if (!options().speaks) return;
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (written) return;
  if (errno == EPIPE) throw OutputClosed();
  throw StorageError(
      fmt::format("cannot write to standard output: {}; free space or send it elsewhere", std::strerror(errno)));
}

}  // namespace chorale
