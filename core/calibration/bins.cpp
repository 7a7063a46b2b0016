#include "core/calibration/bins.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

constexpr double kOnTheEdge = 1e-12;

}  // namespace

ConfidenceBins::ConfidenceBins(std::size_t bins) {
  CHORALE_ASSERT(bins >= 1, "calibration error needs a bin");
  for (std::size_t k = 1; k <= bins; ++k) {
    edges_.push_back(static_cast<double>(k) / static_cast<double>(bins));
  }
}

std::size_t ConfidenceBins::index(double confidence) const {
  const auto edge = std::lower_bound(edges_.begin(), edges_.end(), confidence - kOnTheEdge);
  // Float32 rounding may leave a confidence a little above 1.
  return std::min(static_cast<std::size_t>(edge - edges_.begin()), edges_.size() - 1);
}

CalibrationError BinSums::error() const {
  CalibrationError result;
  double total = 0.0;
  for (const Sum& sum : sums_) {
    if (sum.weight > 0.0) {
      total += sum.weight;
      result.expected += std::abs(sum.gap);
      result.maximum = std::max(result.maximum, std::abs(sum.gap) / sum.weight);
    }
  }
  result.expected /= total;
  return result;
}

}  // namespace chorale
