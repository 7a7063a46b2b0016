// Counts of values in bins of equal width.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace chorale {

/// How many of `values` lie in each of `bins` equal parts of [0, top]: bin i holds [i w, (i + 1) w) with w = top /
/// bins, the last one its upper end and everything above. Asserts top > 0, bins > 0 and values that are not negative.
[[nodiscard]] std::vector<std::size_t> histogram(std::span<const double> values, double top, std::size_t bins);

}  // namespace chorale
