#include "launch/outcome.hpp"

#include <fmt/format.h>

#include <exception>
#include <string>

#include "distributed/failure.hpp"
#include "launch/progress/status_line.hpp"

namespace chorale {
namespace {

void print_error(ExitCode code, std::string_view message, std::string_view who) {
  // Several lines (all mistakes of a recipe) start on a line of their own, so that editors find FILE:LINE there.
  const char* gap = message.find('\n') == std::string_view::npos ? " " : "\n";
  // To do as asked is no error.
  const char* kind = code == ExitCode::preempted ? "" : " error:";
  standard_error_line().clear();
  standard_error_line().print(fmt::format("chorale:{}{}{}{}", kind, gap, message, who));
}

}  // namespace

int fail(const World& world, ExitCode code, std::string_view message) {
  if (code == ExitCode::ok) return static_cast<int>(code);
  print_error(code, message, world.size() > 1 ? fmt::format(" (rank {} on {})", world.rank(), world.host()) : "");
  return static_cast<int>(code);
}

void print_watchdog(const std::string& message) {
  print_error(ExitCode::internal, message, "");
}

int fail_without_world(const std::exception_ptr& problem) {
  const Failure failure = failure_of(problem);
  print_error(failure.code, failure.message, "");
  return static_cast<int>(failure.code);
}

int exit_code_of(World& world, Ranks ranks, const std::function<int()>& part) {
  try {
    return part();
  } catch (const AgreedError& error) {
    return world.rank() == error.rank() ? fail(world, error.code(), error.what()) : static_cast<int>(error.code());
  } catch (...) {
    const Failure failure = failure_of(std::current_exception());
    const int code = fail(world, failure.code, failure.message);
    if (ranks == Ranks::all && world.size() > 1) world.abort(code);
    return code;
  }
}

}  // namespace chorale
