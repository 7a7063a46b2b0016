#include "core/calibration/auroc.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace chorale {

double auroc(std::span<const double> negatives, std::span<const double> positives) {
  if (negatives.empty() || positives.empty()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  std::vector<double> sorted(negatives.begin(), negatives.end());
  std::sort(sorted.begin(), sorted.end());
  // Counted in halves, as integers in double: exact up to 2^53 pairs, so the order of the examples cannot matter.
  double halves = 0.0;
  for (const double score : positives) {
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), score);
    halves += static_cast<double>((first - sorted.begin()) + (last - sorted.begin()));
  }
  return halves / 2.0 / static_cast<double>(negatives.size()) / static_cast<double>(positives.size());
}

}  // namespace chorale
