// What a test says about a refusal: that it is an InputError, and what its message contains.
#pragma once

#include <functional>
#include <string>

#include "core/base/errors.hpp"
#include "support/catch.hpp"

namespace chorale::test {

/// The message of the InputError that `action` throws; "no InputError" when it throws none. Other exceptions pass.
inline std::string input_error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no InputError";
}

/// Matches a text that contains `part`, under the name either Catch2 gives it.
inline auto contains(const std::string& part) {
#if CHORALE_CATCH_MAJOR >= 3
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}

}  // namespace chorale::test
