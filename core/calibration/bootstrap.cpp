#include "core/calibration/bootstrap.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/random.hpp"

namespace chorale {
namespace {

double quantile(const std::vector<double>& sorted, double share) {
  const double position = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(position));
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double weight = position - static_cast<double>(below);
  if (weight == 0.0 || sorted[below] == sorted[above]) {
    return sorted[below];  // also: infinity minus itself is no number
  }
  return sorted[below] + weight * (sorted[above] - sorted[below]);
}

}  // namespace

void draw_resample(std::uint64_t seed, std::size_t draw, std::vector<std::uint32_t>& counts) {
  CHORALE_ASSERT(!counts.empty() && counts.size() <= UINT32_MAX, "a resample of 1 to 2^32 - 1 examples");
  std::fill(counts.begin(), counts.end(), 0U);
  RandomSequence random(RandomStream(seed, 0, Purpose::bootstrap, draw));
  for (std::size_t drawn = 0; drawn < counts.size(); ++drawn) {
    ++counts[random.below(static_cast<std::uint32_t>(counts.size()))];
  }
}

Interval percentile_interval(std::vector<double> values) {
  CHORALE_ASSERT(!values.empty(), "an interval needs a value");
  std::sort(values.begin(), values.end());
  return {quantile(values, 0.025), quantile(values, 0.975)};
}

Interval centred_interval(std::vector<double> values, double estimate) {
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  const Interval interval = percentile_interval(std::move(values));
  return {interval.low + (estimate - mean), interval.high + (estimate - mean)};
}

}  // namespace chorale
