#include "core/calibration/temperature.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/errors.hpp"
#include "core/ensemble/log_math.hpp"

namespace chorale {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

struct LabelledRow {
  std::span<const double> row;
  double label_value;
};

// Derivatives of the mean NLL with respect to the inverse temperature b: E_p[z] - z_label and Var_p(z).
struct Derivatives {
  double first = 0.0;
  double second = 0.0;
};

Derivatives derivatives(const std::vector<LabelledRow>& rows, double inverse) {
  Derivatives mean;
  for (const LabelledRow& labelled : rows) {
    double largest = kNever;
    for (const double z : labelled.row) {
      largest = std::max(largest, z);
    }
    // Moments of d = z - z_max rather than of z: no cancellation when all rows share a large offset.
    double weights = 0.0;
    double first = 0.0;
    double second = 0.0;
    for (const double z : labelled.row) {
      if (z != kNever) {
        const double d = z - largest;
        const double weight = std::exp(inverse * d);
        weights += weight;
        first += weight * d;
        second += weight * d * d;
      }
    }
    first /= weights;
    mean.first += first - (labelled.label_value - largest);
    mean.second += second / weights - first * first;
  }
  mean.first /= static_cast<double>(rows.size());
  mean.second /= static_cast<double>(rows.size());
  return mean;
}

}  // namespace

std::optional<double> fit_temperature(const LogRows& rows, std::span<const std::int32_t> labels) {
  CHORALE_ASSERT(labels.size() == rows.examples, "one label per example");
  std::vector<LabelledRow> usable;
  for (std::size_t example = 0; example < rows.examples; ++example) {
    if (labels[example] >= 0) {
      const std::span<const double> row = rows.row(example);
      const double value = row[static_cast<std::size_t>(labels[example])];
      if (value != kNever) {
        usable.push_back({row, value});
      }
    }
  }
  if (usable.empty()) {
    return std::nullopt;
  }
  // The slope in b rises with b, so its sign tells on which side of the minimum a temperature lies.
  const double sharpest = derivatives(usable, 1.0 / kLowestTemperature).first;
  const double flattest = derivatives(usable, 1.0 / kHighestTemperature).first;
  if (sharpest == 0.0 && flattest == 0.0) {
    return 1.0;
  }
  if (sharpest <= 0.0) {
    return kLowestTemperature;
  }
  if (flattest >= 0.0) {
    return kHighestTemperature;
  }
  double low = std::log(kLowestTemperature);
  double high = std::log(kHighestTemperature);
  double log_temperature = 0.0;
  for (int step = 0; step < 200; ++step) {
    const double inverse = std::exp(-log_temperature);
    const Derivatives at = derivatives(usable, inverse);
    if (std::abs(inverse * at.first) < 1e-12 || high - low < 1e-15) {
      break;
    }
    // A positive slope in b asks for a smaller b, a larger T.
    (at.first > 0.0 ? low : high) = log_temperature;
    const double newton = log_temperature + at.first / (inverse * at.second);
    const bool inside = newton > low && newton < high;
    log_temperature = inside ? newton : 0.5 * (low + high);
  }
  return std::exp(log_temperature);
}

LogRows scale(const LogRows& rows, double temperature) {
  LogRows scaled = rows;
  for (std::size_t example = 0; example < scaled.examples; ++example) {
    const std::span<double> row = scaled.row(example);
    for (double& value : row) {
      value /= temperature;
    }
    log_normalise(row);
  }
  return scaled;
}

}  // namespace chorale
