// Logging through spdlog to standard error, in a shape that suits a terminal or a file.
#pragma once

#include <string>

namespace chorale {

/// Sets up spdlog's default logger: plain messages on a terminal (warnings and errors marked, in colour unless NO_COLOR
/// is set), time stamps otherwise. `level`: trace, debug, info, warning, error or off.
void start_logging(const std::string& level);

}  // namespace chorale
