// An exception as the exit code and the one message it means to a user.
#pragma once

#include <exception>
#include <string>

#include "core/base/errors.hpp"

namespace chorale {

struct Failure {
  ExitCode code = ExitCode::internal;
  std::string message;
};

/// Code and message of our own errors; for what ran out of memory (of the machine or the GPU) the code of a recipe that
/// asks too much, how much more was needed and which keys lower it; everything else is our bug (70). Not null.
[[nodiscard]] Failure failure_of(const std::exception_ptr& problem);

}  // namespace chorale
