#include "core/report/report_uncertainty.hpp"

#include <algorithm>
#include <cmath>

#include "core/calibration/histogram.hpp"
#include "core/report/round_numbers.hpp"

namespace chorale {
namespace {

using nlohmann::json;

json histograms(std::span<const SetUncertainty> sets, double top, std::vector<double> Uncertainty::*score) {
  json counts = json::object();
  for (const SetUncertainty& set : sets) counts[set.name] = histogram(set.values.*score, top, kHistogramBins);
  return {{"top", six_digits(top)}, {"counts", counts}};
}

}  // namespace

json report_uncertainty(std::span<const SetUncertainty> sets) {
  double entropy = std::log(2.0);
  double information = 0.01;
  for (const SetUncertainty& set : sets) {
    entropy = std::max(entropy, std::log(static_cast<double>(set.choices)));
    for (const double value : set.values.epistemic) information = std::max(information, value);
  }
  return {{"entropy", histograms(sets, entropy, &Uncertainty::total)},
          {"mutual_information", histograms(sets, information, &Uncertainty::epistemic)}};
}

}  // namespace chorale
