// The time of day in front of what goes to a file.
#pragma once

#include <string>

namespace chorale {

/// "2026-01-02 03:04:05 ": local time now, and a blank.
[[nodiscard]] std::string time_stamp();

}  // namespace chorale
