#include "core/adapters/adapter_config.hpp"

#include <cmath>

namespace chorale {

double adapter_scale(const AdapterConfig& config) {
  const auto rank = static_cast<double>(config.rank);
  return config.alpha / (config.scaling == AdapterScaling::standard ? rank : std::sqrt(rank));
}

}  // namespace chorale
