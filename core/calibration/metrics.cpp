#include "core/calibration/metrics.hpp"

#include <cmath>

#include "core/base/errors.hpp"
#include "core/calibration/bins.hpp"
#include "core/ensemble/log_math.hpp"

namespace chorale {
namespace {

// Sum over classes of (p - onehot)^2, from 0 to 2 (Brier 1950). Libraries that divide by the number of classes, or keep
// one class of two, give a half or a K-th of it.
double brier_score(std::span<const double> row, std::size_t label) {
  double sum = 0.0;
  for (std::size_t choice = 0; choice < row.size(); ++choice) {
    const double gap = std::exp(row[choice]) - (choice == label ? 1.0 : 0.0);
    sum += gap * gap;
  }
  return sum;
}

}  // namespace

Contributions::Contributions(const LogRows& rows, std::span<const std::int32_t> labels, std::size_t ece_bins)
    : bins_{ece_bins, 10, 20} {
  CHORALE_ASSERT(labels.size() == rows.examples, "one label per example");
  CHORALE_ASSERT(ece_bins <= UINT16_MAX, "at most 65535 bins");
  const std::array<ConfidenceBins, 3> edges = {ConfidenceBins(bins_[0]), ConfidenceBins(bins_[1]),
                                               ConfidenceBins(bins_[2])};
  for (std::size_t example = 0; example < rows.examples; ++example) {
    if (labels[example] < 0) {
      continue;
    }
    const auto label = static_cast<std::size_t>(labels[example]);
    CHORALE_ASSERT(label < rows.choices, "a label must be one of the choices");
    const std::span<const double> row = rows.row(example);
    const std::size_t top = argmax(row);
    correct_.push_back(top == label ? 1 : 0);
    nll_.push_back(0.0 - row[label]);
    brier_.push_back(brier_score(row, label));
    confidence_.push_back(std::exp(row[top]));
    std::array<std::uint16_t, 3>& bin = bin_.emplace_back();
    for (std::size_t kind = 0; kind < bin.size(); ++kind) {
      bin[kind] = static_cast<std::uint16_t>(edges[kind].index(confidence_.back()));
    }
  }
}

Metrics Contributions::metrics() const {
  return metrics(std::vector<std::uint32_t>(size(), 1));
}

Metrics Contributions::metrics(std::span<const std::uint32_t> counts) const {
  CHORALE_ASSERT(counts.size() == size(), "one count per labelled example");
  Metrics result;
  std::array<BinSums, 3> sums = {BinSums(bins_[0]), BinSums(bins_[1]), BinSums(bins_[2])};
  double total = 0.0;
  for (std::size_t example = 0; example < counts.size(); ++example) {
    if (counts[example] == 0) {
      continue;  // also keeps 0 * infinity out of the sums
    }
    const double weight = counts[example];
    total += weight;
    result.values[accuracy] += weight * correct_[example];
    result.values[nll] += weight * nll_[example];
    result.values[brier] += weight * brier_[example];
    result.infinite += std::isinf(nll_[example]) ? weight : 0.0;
    for (std::size_t kind = 0; kind < sums.size(); ++kind) {
      sums[kind].add(bin_[example][kind], confidence_[example], correct_[example] != 0, weight);
    }
  }
  CHORALE_ASSERT(total > 0.0, "metrics need a labelled example");
  result.values[accuracy] /= total;
  result.values[nll] /= total;
  result.values[brier] /= total;
  const CalibrationError configured = sums[0].error();
  result.values[ece] = configured.expected;
  result.values[mce] = configured.maximum;
  result.values[ece_10] = sums[1].error().expected;
  result.values[ece_20] = sums[2].error().expected;
  return result;
}

}  // namespace chorale
