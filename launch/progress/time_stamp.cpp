#include "launch/progress/time_stamp.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>

namespace chorale {

std::string time_stamp() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%d %H:%M:%S} ", fmt::localtime(now));
}

}  // namespace chorale
