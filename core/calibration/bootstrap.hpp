// Percentile bootstrap over examples (Efron 1979): how much a number would move with another test set of this size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace chorale {

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

/// Draws one resample with replacement: counts[n] = how often example n is in it. Draw d is the same for a seed
/// whatever the number of draws, and one draw serves all rows of a result, so their intervals are paired. Needs an
/// example.
void draw_resample(std::uint64_t seed, std::size_t draw, std::vector<std::uint32_t>& counts);

/// The 2.5 % and 97.5 % quantiles, with linear interpolation between order statistics (numpy's default); an end is +inf
/// where the values there are. Needs a value; the order of `values` is not kept.
[[nodiscard]] Interval percentile_interval(std::vector<double> values);

/// The same moved by estimate - mean(values): for binned calibration errors, which resampling inflates, since a
/// resample has the set's noise and its own on top; the plain quantiles may then even leave out the set's own value.
[[nodiscard]] Interval centred_interval(std::vector<double> values, double estimate);

}  // namespace chorale
