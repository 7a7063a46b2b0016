// How unsure the ensemble is of the test set and of the shifted ones, as histograms to lay side by side.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/ensemble/uncertainty.hpp"

namespace chorale {

inline constexpr std::size_t kHistogramBins = 24;

struct SetUncertainty {
  std::string name;
  std::size_t choices = 0;
  Uncertainty values;
};

/// {entropy, mutual_information}, each {top, counts: {set: [kHistogramBins counts]}}: equal bins from 0 to `top`, the
/// same for all sets: log of the number of choices for the entropy, the largest value (or 0.01) for the mutual
/// information.
[[nodiscard]] nlohmann::json report_uncertainty(std::span<const SetUncertainty> sets);

}  // namespace chorale
