// How well a score tells two groups apart.
#pragma once

#include <span>

namespace chorale {

/// Probability that a positive scores higher than a negative, ties counting half: the rank statistic of Mann and
/// Whitney, equal to the area under the ROC curve (Fawcett 2006). NaN when either group is empty.
[[nodiscard]] double auroc(std::span<const double> negatives, std::span<const double> positives);

}  // namespace chorale
