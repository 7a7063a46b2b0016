// The reliability diagram: what a model says of its own answers, bin by bin, against how often they are right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/calibration/bootstrap.hpp"
#include "core/ensemble/prediction_table.hpp"

namespace chorale {

/// One bin (low, high] of the confidence, the first one closed at 0.
struct ReliabilityBin {
  double low = 0.0;
  double high = 0.0;
  double count = 0.0;       // labelled examples in it; of several models the mean over them
  double confidence = 0.0;  // mean confidence of those
  double accuracy = 0.0;    // share of those that is right
  double gap = 0.0;         // |accuracy - confidence|; of several models the mean of theirs, weighted by their counts
  std::optional<Interval> band;  // of the accuracy: 95 % of the resamples of the examples
};

/// Examples below which a bin gets no band: resampling so few of them says little.
inline constexpr double kSmallestBandCount = 5.0;

/// The bins of one model, or of several side by side (the members), over the labelled examples. They are those the
/// calibration error is made of: the sum of count / N * gap is the `ece` of metrics.json, of several models the mean of
/// their errors. `draws` resamples of the examples (0: no bands) are the ones the intervals of metrics.json rest on.
/// Empty bins are in the result, without numbers. Needs a part and a labelled example. (DeGroot, Fienberg 1983.)
[[nodiscard]] std::vector<ReliabilityBin> reliability(std::span<const LogRows> parts,
                                                      std::span<const std::int32_t> labels, std::size_t bins,
                                                      std::size_t draws, std::uint64_t seed);

}  // namespace chorale
