#include "launch/commands/common.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/base/errors.hpp"
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

void add_common_options(CLI::App& command) {
  command.add_flag("--quiet", options().quiet, "Warnings and errors only")->group("Everywhere");
  command.add_flag("--no-progress", options().no_progress, "No progress bar and no progress lines")
      ->group("Everywhere");
  command.add_option("--log-level", options().log_level, "trace, debug, info, warning, error or off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "off"}))
      ->capture_default_str()
      ->group("Everywhere");
  command.parse_complete_callback([] {
    const bool only_warnings = options().quiet && options().log_level == "info";
    start_logging(only_warnings ? "warning" : options().log_level);
  });
}

void write_output(std::string_view text) {
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (written) return;
  if (errno == EPIPE) throw OutputClosed();
  throw StorageError(
      fmt::format("cannot write to standard output: {}; free space or send it elsewhere", std::strerror(errno)));
}

}  // namespace chorale
