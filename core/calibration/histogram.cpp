#include "core/calibration/histogram.hpp"

#include <algorithm>

#include "core/base/errors.hpp"

namespace chorale {

std::vector<std::size_t> histogram(std::span<const double> values, double top, std::size_t bins) {
  CHORALE_ASSERT(top > 0.0 && bins > 0, "a histogram needs a range and a bin");
  std::vector<std::size_t> counts(bins, 0);
  for (const double value : values) {
    CHORALE_ASSERT(value >= 0.0, "values of a histogram from 0 are not negative");
    const double place = std::min(value / top * static_cast<double>(bins), static_cast<double>(bins - 1));
    ++counts[static_cast<std::size_t>(place)];
  }
  return counts;
}

}  // namespace chorale
