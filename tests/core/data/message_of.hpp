// What an action complains about, to be looked at piece by piece.
#pragma once

#include <string>
#include <vector>

#include "core/base/errors.hpp"

namespace chorale::test {

/// The message of the `Kind` of error that `action` throws; "(accepted)" when it throws nothing.
template <typename Kind = InputError, typename Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Kind& error) {
    return error.what();
  }
  return "(accepted)";
}

/// The first of `parts` that `message` does not hold; empty when it holds them all.
inline std::string missing_part(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    if (message.find(part) == message.npos) return part;
  }
  return {};
}

}  // namespace chorale::test
