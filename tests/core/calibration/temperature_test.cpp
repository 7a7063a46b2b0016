#include "core/calibration/temperature.hpp"

#include <cmath>
#include <limits>

#include "core/calibration/metrics.hpp"
#include "support/catch.hpp"
#include "support/random_predictions.hpp"

using chorale::fit_temperature;
using chorale::LogRows;
using chorale::PredictionTable;
using chorale::scale;
using chorale::test::RandomPredictions;

namespace {

double nll_at(const LogRows& rows, const std::vector<std::int32_t>& labels, double temperature) {
  return chorale::Contributions(scale(rows, temperature), labels, 15).metrics().values[chorale::nll];
}

// d NLL / d log T = -(1/T) mean(E_p[z] - z_label), written out plainly.
double slope_at(const LogRows& rows, const std::vector<std::int32_t>& labels, double temperature) {
  const LogRows scaled = scale(rows, temperature);
  double sum = 0.0;
  for (std::size_t example = 0; example < rows.examples; ++example) {
    for (std::size_t choice = 0; choice < rows.choices; ++choice) {
      const double z = rows.row(example)[choice];
      if (std::isfinite(z)) {
        sum += std::exp(scaled.row(example)[choice]) * z;
      }
    }
    sum -= rows.row(example)[static_cast<std::size_t>(labels[example])];
  }
  return -sum / temperature / static_cast<double>(rows.examples);
}

}  // namespace

TEST_CASE("the fitted temperature is the minimum: zero slope, and worse on both sides") {
  for (const double sharpness : {0.2, 1.0, 3.0, 12.0, 40.0}) {
    RandomPredictions random;
    random.sharpness = sharpness;
    random.examples = 200;
    random.some_missing = true;
    const PredictionTable table = random.make(17);
    const LogRows& rows = table.members.front();
    const double temperature = fit_temperature(rows, table.labels).value();
    CAPTURE(sharpness, temperature);
    CHECK(std::abs(slope_at(rows, table.labels, temperature)) < 1e-10);
    const double best = nll_at(rows, table.labels, temperature);
    CHECK(best < nll_at(rows, table.labels, temperature * 1.01));
    CHECK(best < nll_at(rows, table.labels, temperature / 1.01));
    CHECK(best <= nll_at(rows, table.labels, 1.0));
  }
}

TEST_CASE("scaling the scores scales the temperature with them, shifting them does nothing") {
  const PredictionTable table = RandomPredictions().make(23);
  LogRows rows = table.members.front();
  const double before = fit_temperature(rows, table.labels).value();
  for (double& value : rows.values) {
    value = 3.0 * value + 1000.0;
  }
  CHECK(fit_temperature(rows, table.labels).value() == Approx(3.0 * before).epsilon(1e-9));
}

TEST_CASE("temperature keeps a single model's accuracy and temperature one its rows") {
  const PredictionTable table = RandomPredictions().make(29);
  const LogRows& rows = table.members.front();
  const auto accuracy_at = [&](double temperature) {
    return chorale::Contributions(scale(rows, temperature), table.labels, 15).metrics().values[chorale::accuracy];
  };
  CHECK(accuracy_at(0.05) == accuracy_at(1.0));
  CHECK(accuracy_at(50.0) == accuracy_at(1.0));
  const LogRows same = scale(rows, 1.0);
  for (std::size_t cell = 0; cell < rows.values.size(); ++cell) {
    CHECK(same.values[cell] == Approx(rows.values[cell]).margin(1e-14));
  }
}

TEST_CASE("sets without a minimum give the bounds, uniform rows one, unusable ones nothing") {
  const double sure = std::log(0.8);
  const double rest = std::log(0.2);
  const LogRows rows{2, 2, {sure, rest, rest, sure}};
  CHECK(fit_temperature(rows, std::vector<std::int32_t>{0, 1}) == chorale::kLowestTemperature);
  CHECK(fit_temperature(rows, std::vector<std::int32_t>{1, 0}) == chorale::kHighestTemperature);
  CHECK(fit_temperature(rows, std::vector<std::int32_t>{-1, -1}) == std::nullopt);
  CHECK(fit_temperature(LogRows{0, 2, {}}, std::vector<std::int32_t>{}) == std::nullopt);
  const LogRows uniform{1, 2, {std::log(0.5), std::log(0.5)}};
  CHECK(fit_temperature(uniform, std::vector<std::int32_t>{0}) == 1.0);
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  CHECK(fit_temperature(LogRows{1, 2, {0.0, kNever}}, std::vector<std::int32_t>{1}) == std::nullopt);
  CHECK(fit_temperature(LogRows{1, 2, {0.0, kNever}}, std::vector<std::int32_t>{0}) == 1.0);
}
