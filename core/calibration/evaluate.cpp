#include "core/calibration/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/calibration/evaluate_table.hpp"
#include "core/calibration/result_row.hpp"
#include "core/calibration/scaled_rows.hpp"
#include "core/ensemble/pooling.hpp"
#include "core/ensemble/uncertainty.hpp"

namespace chorale {
namespace {

nlohmann::json mean(const std::vector<double>& values) {
  return finite_or_null(std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()));
}

// Builds the rows of one data set in a fixed order: members' mean first, ensemble second.
class RowBuilder {
 public:
  RowBuilder(const PredictionTable& predictions, const EvaluationConfig& config)
      : labels_(predictions.labels), bins_(static_cast<std::size_t>(config.ece_bins)) {}

  ResultRow& add(const std::string& name, std::span<const LogRows> parts) {
    ResultRow& row = rows_.emplace_back();
    row.name = name;
    for (const LogRows& part : parts) {
      row.parts.emplace_back(part, labels_, bins_);
    }
    return row;
  }
  [[nodiscard]] const std::vector<ResultRow>& rows() const { return rows_; }

 private:
  const std::vector<std::int32_t>& labels_;
  std::size_t bins_;
  std::vector<ResultRow> rows_;
};

nlohmann::json members_json(const ResultRow& row) {
  std::vector<Metrics> parts;
  nlohmann::json each = nlohmann::json::array();
  for (const Contributions& part : row.parts) {
    parts.push_back(part.metrics());
    each.push_back(metrics_json(parts.back()));
  }
  return {{"mean", metrics_json(row.metrics())}, {"std", deviation_json(parts)}, {"each", each}};
}

void add_labelled_rows(nlohmann::json& result, const PredictionTable& predictions, const LogRows& pooled,
                       const PredictionTable* validation, const EvaluationConfig& config, std::uint64_t seed) {
  RowBuilder builder(predictions, config);
  result["members"] = members_json(builder.add("members_mean", predictions.members));
  result["ensemble"] = metrics_json(builder.add("ensemble", {&pooled, 1}).metrics());
  const LogRows geometric = pool(predictions, Pooling::geometric);
  result["ensemble_geometric"] = metrics_json(builder.add("ensemble_geometric", {&geometric, 1}).metrics());
  if (validation != nullptr && config.temperature) {
    if (const std::optional<ScaledRows> scaled = scaled_rows(*validation, predictions, pooled)) {
      nlohmann::json single = metrics_json(builder.add("single_temperature_scaled", scaled->members).metrics());
      single["temperature"] = mean(scaled->member_temperatures);
      single["temperatures"] = scaled->member_temperatures;
      result["single_temperature_scaled"] = single;
      nlohmann::json ensemble =
          metrics_json(builder.add("ensemble_temperature_scaled", {&scaled->ensemble, 1}).metrics());
      ensemble["temperature"] = scaled->ensemble_temperature;
      result["ensemble_temperature_scaled"] = ensemble;
    }
  }
  if (config.bootstrap > 0) {
    result["intervals"] = interval_json(builder.rows(), 0, 1, static_cast<std::size_t>(config.bootstrap), seed);
  }
}

}  // namespace

nlohmann::json evaluate_table(const PredictionTable& predictions, const PredictionTable* validation,
                              const EvaluationConfig& config, std::uint64_t seed) {
  CHORALE_ASSERT(!predictions.members.empty() && predictions.examples > 0, "metrics need a member and an example");
  const LogRows pooled = pool(predictions, Pooling::arithmetic);
  const Uncertainty split = uncertainty(predictions, pooled);
  const auto labelled = std::count_if(predictions.labels.begin(), predictions.labels.end(),
                                      [](std::int32_t label) { return label >= 0; });
  nlohmann::json result = {
      {"examples", predictions.examples},
      {"labelled", labelled},
      {"choices", predictions.choices},
      {"ece_bins", config.ece_bins},
      {"uncertainty",
       {{"total", mean(split.total)}, {"aleatoric", mean(split.aleatoric)}, {"epistemic", mean(split.epistemic)}}},
      {"disagreement", mean(disagreement(predictions))}};
  if (labelled > 0) {
    add_labelled_rows(result, predictions, pooled, validation, config, seed);
  }
  return result;
}

nlohmann::json evaluate_predictions(const Predictions& predictions, const Predictions* validation,
                                    const EvaluationConfig& config, std::uint64_t seed) {
  const PredictionTable table = prediction_table(predictions);
  if (validation == nullptr) {
    return evaluate_table(table, nullptr, config, seed);
  }
  const PredictionTable validation_table = prediction_table(*validation);
  return evaluate_table(table, &validation_table, config, seed);
}

}  // namespace chorale
