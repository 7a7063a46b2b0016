// The exception tree: one class per exit code, so that only main() has to know about processes ending.
#pragma once

#include <stdexcept>
#include <string>

namespace chorale {

/// Exit codes users and schedulers rely on.
enum class ExitCode : int {
  ok = 0,
  usage = 2,
  input = 3,
  diverged = 4,
  storage = 5,
  internal = 70,
  preempted = 75,
};

/// Base of everything we throw on purpose. The message follows one pattern: what happened, where (file, line, key),
/// and what to do next.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

/// A command line or a recipe is wrong (exit 2).
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(ExitCode::usage, message) {}
};

/// A file or a datum is wrong (exit 3).
class InputError : public Error {
 public:
  explicit InputError(const std::string& message) : Error(ExitCode::input, message) {}
};

/// Every member's training became non-finite (exit 4).
class DivergedError : public Error {
 public:
  explicit DivergedError(const std::string& message) : Error(ExitCode::diverged, message) {}
};

/// Results could not be written: disk full, permission (exit 5).
class StorageError : public Error {
 public:
  explicit StorageError(const std::string& message) : Error(ExitCode::storage, message) {}
};

/// Our own bug (exit 70).
class InternalError : public Error {
 public:
  explicit InternalError(const std::string& message) : Error(ExitCode::internal, message) {}
};

/// Throws InternalError naming the condition and its place; used through CHORALE_ASSERT.
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line, const std::string& message);

}  // namespace chorale

/// States a fact that only our own bug can break. Kept in every build: a wrong number is worse than a stopped run.
#define CHORALE_ASSERT(condition, message)                                               \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      ::chorale::assertion_failed(#condition, __FILE__, __LINE__, std::string(message)); \
    }                                                                                    \
  } while (false)
