// How whatever a command throws becomes one message and an exit code, on one rank or many.
#pragma once

#include <exception>
#include <functional>
#include <string_view>

#include "core/base/errors.hpp"
#include "distributed/world.hpp"

namespace chorale {

/// Who runs a part: every rank at the same time, or this process while the others wait for its result.
enum class Ranks { all, this_one };

/// What `part` returns, or the exit code of what it throws. An error that the ranks agreed on is printed by the rank
/// that had it, and every rank gets its code. An error the others know nothing of is printed here, and then ends the
/// world with its code when the others take part, for they may be waiting for this rank.
[[nodiscard]] int exit_code_of(World& world, Ranks ranks, const std::function<int()>& part);

/// Prints `message` as an error, with rank and host when there are several ranks, and returns the exit code. With
/// ExitCode::ok nothing is printed: the reader of our output went away, and nobody is there to be told.
int fail(const World& world, ExitCode code, std::string_view message);

/// The watchdog's message, which the end of the process follows.
void print_watchdog(const std::string& message);

/// The same where there is no world, as it could not be started.
int fail_without_world(const std::exception_ptr& problem);

}  // namespace chorale
