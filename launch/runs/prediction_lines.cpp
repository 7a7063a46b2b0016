#include "launch/runs/prediction_lines.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

#include "core/base/errors.hpp"
#include "core/calibration/temperature.hpp"
#include "core/ensemble/log_math.hpp"
#include "core/ensemble/pooling.hpp"
#include "core/ensemble/prediction_table.hpp"
#include "core/ensemble/uncertainty.hpp"

namespace chorale {
namespace {

// Everything about one example.
struct Line {
  const Example* example = nullptr;
  std::size_t prediction = 0;
  std::vector<double> probabilities;         // [K]
  std::vector<std::vector<double>> members;  // [M][K]
  std::vector<double> calibrated;            // [K], empty without a temperature
  double total = 0.0;
  double aleatoric = 0.0;
  double epistemic = 0.0;
};

std::vector<double> probabilities_of(std::span<const double> logs, std::size_t choices) {
  std::vector<double> values;
  for (const double log : logs.first(choices)) values.push_back(std::exp(log));
  return values;
}

std::vector<Line> lines_of(const Predictions& predictions, const ExampleSet& set, std::optional<double> temperature) {
  CHORALE_ASSERT(set.examples.size() == predictions.examples, "predictions are of this very set");
  const PredictionTable table = prediction_table(predictions);
  const LogRows pooled = pool(table, Pooling::arithmetic);
  const Uncertainty split = uncertainty(table, pooled);
  const std::optional<LogRows> scaled = temperature ? std::optional(scale(pooled, *temperature)) : std::nullopt;
  std::vector<Line> lines;
  for (std::size_t n = 0; n < predictions.examples; ++n) {
    Line line;
    line.example = &set.examples[n];
    const std::size_t choices = line.example->choices.size();
    line.prediction = argmax(pooled.row(n));
    line.probabilities = probabilities_of(pooled.row(n), choices);
    for (const LogRows& member : table.members) line.members.push_back(probabilities_of(member.row(n), choices));
    if (scaled) line.calibrated = probabilities_of(scaled->row(n), choices);
    line.total = split.total[n];
    line.aleatoric = split.aleatoric[n];
    line.epistemic = split.epistemic[n];
    lines.push_back(std::move(line));
  }
  return lines;
}

// A field of a CSV file (RFC 4180): quoted where it holds a comma, a quote or a line break.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char character : text) quoted += character == '"' ? "\"\"" : std::string(1, character);
  return quoted + "\"";
}

class CsvRow {
 public:
  void add(const std::string& text) { row_ += (std::exchange(first_, false) ? "" : ",") + csv_field(text); }
  // The shortest digits that read back to the same number.
  void add(double value) { add(fmt::format("{}", value)); }
  void add(const std::vector<double>& values, std::size_t width) {
    for (std::size_t k = 0; k < width; ++k) k < values.size() ? add(values[k]) : add(std::string());
  }
  [[nodiscard]] std::string text() const { return row_ + "\n"; }

 private:
  std::string row_;
  bool first_ = true;
};

std::string csv_header(const Predictions& predictions, bool calibrated) {
  CsvRow row;
  for (const char* name : {"id", "label", "prediction", "option", "confidence", "total", "aleatoric", "epistemic"}) {
    row.add(std::string(name));
  }
  for (std::size_t k = 0; k < predictions.choices; ++k) row.add(fmt::format("p{}", k));
  for (std::size_t k = 0; calibrated && k < predictions.choices; ++k) row.add(fmt::format("calibrated_{}", k));
  for (std::size_t m = 0; m < predictions.members; ++m) {
    for (std::size_t k = 0; k < predictions.choices; ++k) row.add(fmt::format("member_{}_p{}", m, k));
  }
  return row.text();
}

}  // namespace

std::string prediction_lines(const Predictions& predictions, const ExampleSet& set, std::optional<double> temperature) {
  std::string text;
  for (const Line& line : lines_of(predictions, set, temperature)) {
    nlohmann::ordered_json object = {
        {"id", line.example->id},
        {"prediction", line.prediction},
        {"option", line.example->choices[line.prediction]},
        {"confidence", line.probabilities[line.prediction]},
        {"probabilities", line.probabilities},
        {"uncertainty", {{"total", line.total}, {"aleatoric", line.aleatoric}, {"epistemic", line.epistemic}}},
        {"members", line.members}};
    if (temperature) {
      object["calibrated"] = {{"temperature", *temperature},
                              {"confidence", line.calibrated[line.prediction]},
                              {"probabilities", line.calibrated}};
    }
    if (line.example->label >= 0) object["label"] = line.example->label;
    text += object.dump() + "\n";
  }
  return text;
}

std::string prediction_csv(const Predictions& predictions, const ExampleSet& set, std::optional<double> temperature) {
  std::string text = csv_header(predictions, temperature.has_value());
  for (const Line& line : lines_of(predictions, set, temperature)) {
    CsvRow row;
    row.add(line.example->id);
    row.add(std::to_string(line.example->label));
    row.add(std::to_string(line.prediction));
    row.add(line.example->choices[line.prediction]);
    row.add(line.probabilities[line.prediction]);
    row.add(line.total);
    row.add(line.aleatoric);
    row.add(line.epistemic);
    row.add(line.probabilities, predictions.choices);
    if (temperature) row.add(line.calibrated, predictions.choices);
    for (const std::vector<double>& member : line.members) row.add(member, predictions.choices);
    text += row.text();
  }
  return text;
}

}  // namespace chorale
