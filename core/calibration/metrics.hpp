// The metrics of one row of the result (a member, a pool, a temperature-scaled one), computed once per example and then
// summed, so that a thousand bootstrap draws cost a thousand sums.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/ensemble/prediction_table.hpp"

namespace chorale {

/// The metrics, in the order of Metrics::values. Definitions: README.md of this folder.
enum Metric : std::size_t { accuracy, nll, brier, ece, mce, ece_10, ece_20, metric_count };
inline constexpr std::array<std::string_view, metric_count> kMetricNames = {"accuracy", "nll",    "brier", "ece",
                                                                            "mce",      "ece_10", "ece_20"};

struct Metrics {
  std::array<double, metric_count> values{};  // nll is +inf when an example gave its label probability zero
  double infinite = 0;                        // how many examples did
};

/// What each labelled example adds to the metrics of one row.
class Contributions {
 public:
  /// One entry per example whose label is not -1, in order. Asserts labels below the number of choices.
  Contributions(const LogRows& rows, std::span<const std::int32_t> labels, std::size_t ece_bins);

  [[nodiscard]] std::size_t size() const { return nll_.size(); }
  /// Metrics over all examples. Needs size() > 0.
  [[nodiscard]] Metrics metrics() const;
  /// Metrics of a resample in which example n occurs counts[n] times.
  [[nodiscard]] Metrics metrics(std::span<const std::uint32_t> counts) const;

 private:
  std::array<std::size_t, 3> bins_;  // configured, 10, 20
  std::vector<std::uint8_t> correct_;
  std::vector<double> nll_;
  std::vector<double> brier_;
  std::vector<double> confidence_;
  std::vector<std::array<std::uint16_t, 3>> bin_;
};

}  // namespace chorale
