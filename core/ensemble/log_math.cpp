#include "core/ensemble/log_math.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace chorale {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

// Sum of exp(value - largest), and that largest value.
struct ScaledSum {
  double largest = kNever;
  double sum = 0.0;
};

ScaledSum scaled_sum(std::span<const double> values) {
  ScaledSum result;
  for (const double value : values) {
    result.largest = std::max(result.largest, value);
  }
  for (const double value : values) {
    result.sum += result.largest == kNever ? 0.0 : std::exp(value - result.largest);
  }
  return result;
}

}  // namespace

double log_sum_exp(std::span<const double> values) {
  const ScaledSum scaled = scaled_sum(values);
  return scaled.largest == kNever ? kNever : scaled.largest + std::log(scaled.sum);
}

double log_mean_exp(std::span<const double> values) {
  const ScaledSum scaled = scaled_sum(values);
  return scaled.largest == kNever ? kNever : scaled.largest + std::log(scaled.sum / static_cast<double>(values.size()));
}

void log_normalise(std::span<double> row) {
  const double total = log_sum_exp(row);
  if (total == kNever) {
    return;
  }
  for (double& value : row) {
    value -= total;
  }
}

double entropy(std::span<const double> row) {
  double sum = 0.0;
  for (const double value : row) {
    if (value != kNever) {
      sum -= std::exp(value) * value;
    }
  }
  return sum;
}

double kl_divergence(std::span<const double> p, std::span<const double> q) {
  double sum = 0.0;
  for (std::size_t k = 0; k < p.size(); ++k) {
    if (p[k] != kNever) {
      sum += std::exp(p[k]) * (p[k] - q[k]);
    }
  }
  return sum;
}

std::size_t argmax(std::span<const double> row) {
  std::size_t best = 0;
  for (std::size_t k = 1; k < row.size(); ++k) {
    if (row[k] > row[best]) {
      best = k;
    }
  }
  return best;
}

}  // namespace chorale
