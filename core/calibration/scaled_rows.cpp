#include "core/calibration/scaled_rows.hpp"

#include <fmt/format.h>

#include "core/base/errors.hpp"
#include "core/calibration/temperature.hpp"
#include "core/ensemble/pooling.hpp"

namespace chorale {

std::optional<ScaledRows> scaled_rows(const PredictionTable& validation, const PredictionTable& predictions,
                                      const LogRows& pooled) {
  if (validation.members.size() != predictions.members.size()) {
    throw InputError(
        fmt::format("'{}' holds predictions of {} members and the validation set '{}' of {}. Give "
                    "validation predictions of the same members.",
                    predictions.name, predictions.members.size(), validation.name, validation.members.size()));
  }
  ScaledRows scaled;
  for (std::size_t member = 0; member < predictions.members.size(); ++member) {
    const std::optional<double> temperature = fit_temperature(validation.members[member], validation.labels);
    if (!temperature) {
      return std::nullopt;
    }
    scaled.member_temperatures.push_back(*temperature);
    scaled.members.push_back(scale(predictions.members[member], *temperature));
  }
  const std::optional<double> temperature = fit_temperature(pool(validation, Pooling::arithmetic), validation.labels);
  if (!temperature) {
    return std::nullopt;
  }
  scaled.ensemble_temperature = *temperature;
  scaled.ensemble = scale(pooled, *temperature);
  return scaled;
}

}  // namespace chorale
