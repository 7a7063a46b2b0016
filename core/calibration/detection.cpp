#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <vector>

#include "core/base/errors.hpp"
#include "core/calibration/auroc.hpp"
#include "core/calibration/evaluate.hpp"
#include "core/calibration/evaluate_table.hpp"
#include "core/calibration/result_row.hpp"
#include "core/ensemble/log_math.hpp"
#include "core/ensemble/pooling.hpp"
#include "core/ensemble/uncertainty.hpp"

namespace chorale {
namespace {

// Scores that rise with strangeness, one per example.
struct Scores {
  std::vector<double> entropy;
  std::vector<double> mutual_information;
  std::vector<double> max_probability;  // minus log max p: the order of 1 - max p without its rounding near 1
};

Scores scores(const PredictionTable& table) {
  const LogRows pooled = pool(table, Pooling::arithmetic);
  const Uncertainty split = uncertainty(table, pooled);
  Scores result{split.total, split.epistemic, {}};
  for (std::size_t example = 0; example < table.examples; ++example) {
    const std::span<const double> row = pooled.row(example);
    result.max_probability.push_back(-row[argmax(row)]);
  }
  return result;
}

struct Areas {
  double entropy = 0.0;
  double mutual_information = 0.0;
  double max_probability = 0.0;
};

Areas areas(const PredictionTable& test, const PredictionTable& shifted) {
  const Scores negatives = scores(test);
  const Scores positives = scores(shifted);
  return {auroc(negatives.entropy, positives.entropy),
          auroc(negatives.mutual_information, positives.mutual_information),
          auroc(negatives.max_probability, positives.max_probability)};
}

PredictionTable only_member(const PredictionTable& table, std::size_t member) {
  return {table.name, table.examples, table.choices, {table.members[member]}, table.labels, table.example_ids};
}

nlohmann::json auroc_json(const Areas& area) {
  return {{"auroc",
           {{"entropy", finite_or_null(area.entropy)},
            {"mutual_information", finite_or_null(area.mutual_information)},
            {"max_probability", finite_or_null(area.max_probability)}}}};
}

}  // namespace

nlohmann::json detect_table(const PredictionTable& test, const PredictionTable& shifted) {
  if (test.members.size() != shifted.members.size()) {
    throw InputError(
        fmt::format("'{}' holds predictions of {} members and '{}' of {}. Compare sets predicted by the "
                    "same members.",
                    test.name, test.members.size(), shifted.name, shifted.members.size()));
  }
  Areas mean;
  const double members = static_cast<double>(test.members.size());
  for (std::size_t member = 0; member < test.members.size(); ++member) {
    const Areas single = areas(only_member(test, member), only_member(shifted, member));
    mean.entropy += single.entropy / members;
    mean.mutual_information += single.mutual_information / members;
    mean.max_probability += single.max_probability / members;
  }
  return {{"ensemble", auroc_json(areas(test, shifted))}, {"members_mean", auroc_json(mean)}};
}

nlohmann::json evaluate_detection(const Predictions& test, const Predictions& shifted) {
  return detect_table(prediction_table(test), prediction_table(shifted));
}

}  // namespace chorale
