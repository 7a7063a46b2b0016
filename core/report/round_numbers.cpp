#include "core/report/round_numbers.hpp"

#include <fmt/format.h>

#include <cmath>
#include <string>

namespace chorale {

nlohmann::json six_digits(double value) {
  return std::isfinite(value) ? nlohmann::json(std::stod(fmt::format("{:.6g}", value))) : nlohmann::json();
}

}  // namespace chorale
