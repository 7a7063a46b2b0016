// The float64 image of Predictions that metrics are computed on. Predictions of other tools come straight into this
// form, so that a probability written as 0.6 is not first rounded to float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/ensemble/predictions.hpp"

namespace chorale {

/// Rows further from a sum of 1 than this are refused.
inline constexpr double kSumTolerance = 1e-3;

/// Log-probabilities [rows, choices] of one model, or of a pool of several.
struct LogRows {
  std::size_t examples = 0;
  std::size_t choices = 0;
  std::vector<double> values;  // [examples, choices]

  [[nodiscard]] std::span<const double> row(std::size_t example) const {
    return std::span(values).subspan(example * choices, choices);
  }
  [[nodiscard]] std::span<double> row(std::size_t example) {
    return std::span(values).subspan(example * choices, choices);
  }
};

struct PredictionTable {
  std::string name;
  std::size_t examples = 0;
  std::size_t choices = 0;
  std::vector<LogRows> members;
  std::vector<std::int32_t> labels;      // [examples]; -1: unlabelled
  std::vector<std::string> example_ids;  // [examples]
};

/// Takes float32 rounding for what it is: a row whose probabilities sum to 1 within 1e-5 stays as it stands, so that
/// metrics are those of the stored numbers; a row further off is divided by its sum. The caller has checked that the
/// sum is within kSumTolerance.
void settle_row(std::span<double> row);

/// Widens to float64 and settles every row. Asserts that the array sizes agree with members, examples and choices and
/// that every row's sum is within kSumTolerance of 1.
[[nodiscard]] PredictionTable prediction_table(const Predictions& predictions);

}  // namespace chorale
