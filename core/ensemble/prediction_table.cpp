#include "core/ensemble/prediction_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/errors.hpp"
#include "core/ensemble/log_math.hpp"

namespace chorale {
namespace {

// Widest deviation that float32 arithmetic explains: the log of a sum of K rounded terms is off by a few 1e-7 for small
// K and by a few 1e-6 when large logits were subtracted.
constexpr double kRounding = 1e-5;

}  // namespace

void settle_row(std::span<double> row) {
  if (std::abs(log_sum_exp(row)) > kRounding) {
    log_normalise(row);
  }
}

PredictionTable prediction_table(const Predictions& predictions) {
  const std::size_t rows = predictions.members * predictions.examples;
  CHORALE_ASSERT(predictions.log_probabilities.size() == rows * predictions.choices,
                 "log-probabilities must be [members, examples, choices]");
  CHORALE_ASSERT(predictions.labels.size() == predictions.examples, "one label per example");
  CHORALE_ASSERT(predictions.example_ids.size() == predictions.examples, "one id per example");
  PredictionTable table;
  table.name = predictions.name;
  table.examples = predictions.examples;
  table.choices = predictions.choices;
  table.labels = predictions.labels;
  table.example_ids = predictions.example_ids;
  const std::span<const float> all(predictions.log_probabilities);
  const std::size_t stride = predictions.examples * predictions.choices;
  for (std::size_t member = 0; member < predictions.members; ++member) {
    const std::span<const float> values = all.subspan(member * stride, stride);
    LogRows rows_of_member{table.examples, table.choices, std::vector<double>(values.begin(), values.end())};
    for (std::size_t example = 0; example < table.examples; ++example) {
      const std::span<double> row = rows_of_member.row(example);
      CHORALE_ASSERT(std::abs(std::exp(log_sum_exp(row)) - 1.0) <= kSumTolerance,
                     fmt::format("member {}, example {} of '{}': probabilities do not sum to 1", member, example,
                                 predictions.name));
      settle_row(row);
    }
    table.members.push_back(std::move(rows_of_member));
  }
  return table;
}

}  // namespace chorale
