#include "core/calibration/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "core/base/errors.hpp"
#include "core/calibration/bootstrap.hpp"
#include "core/calibration/evaluate_table.hpp"
#include "core/calibration/metrics.hpp"
#include "support/catch.hpp"
#include "support/random_predictions.hpp"

using chorale::EvaluationConfig;
using chorale::PredictionTable;
using chorale::test::narrowed;
using chorale::test::RandomPredictions;
using nlohmann::json;

namespace {

EvaluationConfig config_with(std::int64_t bootstrap) {
  EvaluationConfig config;
  config.bootstrap = bootstrap;
  return config;
}

bool has_all_metrics(const json& row) {
  return std::all_of(chorale::kMetricNames.begin(), chorale::kMetricNames.end(),
                     [&](std::string_view name) { return row.contains(std::string(name)); });
}

}  // namespace

TEST_CASE("all documented keys are there, and equal predictions give equal bits") {
  const chorale::Predictions test = narrowed(RandomPredictions().make(1));
  const chorale::Predictions validation = narrowed(RandomPredictions().make(2));
  const json result = chorale::evaluate_predictions(test, &validation, config_with(50), 7);
  for (const char* row :
       {"ensemble", "ensemble_geometric", "single_temperature_scaled", "ensemble_temperature_scaled"}) {
    CAPTURE(row);
    CHECK(has_all_metrics(result.at(row)));
    CHECK(has_all_metrics(result.at("intervals").at(row)));
  }
  CHECK(has_all_metrics(result.at("members").at("mean")));
  CHECK(has_all_metrics(result.at("members").at("std")));
  CHECK(has_all_metrics(result.at("intervals").at("members_mean")));
  CHECK(has_all_metrics(result.at("intervals").at("change")));
  CHECK(result.at("members").at("each").size() == 4);
  CHECK(result.at("single_temperature_scaled").at("temperatures").size() == 4);
  CHECK(result.at("ensemble_temperature_scaled").at("temperature").is_number());
  CHECK(result.at("labelled") == 60);
  CHECK(result == chorale::evaluate_predictions(test, &validation, config_with(50), 7));
  CHECK(result.at("intervals") != chorale::evaluate_predictions(test, &validation, config_with(50), 8).at("intervals"));

  EvaluationConfig plain = config_with(0);
  plain.temperature = false;
  const json without = chorale::evaluate_predictions(test, &validation, plain, 7);
  CHECK_FALSE(without.contains("intervals"));
  CHECK_FALSE(without.contains("single_temperature_scaled"));
  CHECK(without.at("ensemble") == result.at("ensemble"));
}

TEST_CASE("permuting the examples changes metrics by rounding alone") {
  PredictionTable table = RandomPredictions().make(3);
  const json before = chorale::evaluate_table(table, nullptr, config_with(0), 1);
  std::reverse(table.labels.begin(), table.labels.end());
  for (chorale::LogRows& member : table.members) {
    const chorale::LogRows old = member;
    for (std::size_t example = 0; example < table.examples; ++example) {
      const auto from = old.row(table.examples - 1 - example);
      std::copy(from.begin(), from.end(), member.row(example).begin());
    }
  }
  const json after = chorale::evaluate_table(table, nullptr, config_with(0), 1);
  for (const char* row : {"ensemble", "ensemble_geometric"}) {
    for (const std::string_view metric : chorale::kMetricNames) {
      CHECK(after.at(row).at(std::string(metric)).get<double>() ==
            Approx(before.at(row).at(std::string(metric)).get<double>()).epsilon(1e-12));
    }
  }
}

TEST_CASE("one model: the ensemble is the model, spread and epistemic uncertainty are absent or zero") {
  RandomPredictions random;
  random.members = 1;
  const json result = chorale::evaluate_table(random.make(4), nullptr, config_with(20), 1);
  CHECK(result.at("ensemble") == result.at("members").at("mean"));
  CHECK(result.at("ensemble") == result.at("members").at("each").at(0));
  CHECK(result.at("members").at("std").at("nll").is_null());
  CHECK(result.at("uncertainty").at("epistemic") == 0.0);
  CHECK(result.at("disagreement") == 0.0);
  CHECK(result.at("intervals").at("change").at("nll") == json::array({0.0, 0.0}));
}

TEST_CASE("the spread over members is the sample standard deviation") {
  const json result = chorale::evaluate_table(RandomPredictions().make(5), nullptr, config_with(0), 1);
  std::vector<double> values;
  for (const json& member : result.at("members").at("each")) {
    values.push_back(member.at("brier").get<double>());
  }
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / 4.0;
  double squares = 0.0;
  for (const double value : values) {
    squares += (value - mean) * (value - mean);
  }
  CHECK(result.at("members").at("std").at("brier").get<double>() == Approx(std::sqrt(squares / 3.0)));
  CHECK(result.at("members").at("mean").at("brier").get<double>() == Approx(mean));
}

TEST_CASE("without labels only uncertainty is reported, and partly labelled sets count the labelled") {
  PredictionTable table = RandomPredictions().make(6);
  const json all = chorale::evaluate_table(table, nullptr, config_with(0), 1);
  table.labels.assign(table.examples, -1);
  const json none = chorale::evaluate_table(table, nullptr, config_with(10), 1);
  CHECK(none.at("labelled") == 0);
  CHECK_FALSE(none.contains("ensemble"));
  CHECK_FALSE(none.contains("intervals"));
  CHECK(none.at("uncertainty") == all.at("uncertainty"));
  table.labels[3] = 1;
  CHECK(chorale::evaluate_table(table, nullptr, config_with(10), 1).at("labelled") == 1);
}

TEST_CASE("an infinite NLL is null with a count, in rows, means and intervals") {
  chorale::Predictions predictions{"p", 2, 2, 2, {}, {1, 0}, {"a", "b"}};
  const float never = -std::numeric_limits<float>::infinity();
  const float half = std::log(0.5F);
  predictions.log_probabilities = {0.0F, never, 0.0F, never, half, half, half, half};
  const json result = chorale::evaluate_predictions(predictions, &predictions, config_with(200), 1);
  CHECK(result.at("members").at("each").at(0).at("nll").is_null());
  CHECK(result.at("members").at("each").at(0).at("infinite") == 1);
  CHECK(result.at("members").at("mean").at("infinite") == 1);
  CHECK(result.at("ensemble").at("nll").get<double>() == Approx((std::log(4.0) - std::log(0.75)) / 2.0));
  CHECK_FALSE(result.at("ensemble").contains("infinite"));
  CHECK(result.at("intervals").at("members_mean").at("nll").at(1).is_null());
  CHECK(result.at("intervals").at("change").at("nll").at(0).is_null());
}

TEST_CASE("sets of different members are refused with both numbers") {
  RandomPredictions three;
  three.members = 3;
  const PredictionTable test = RandomPredictions().make(1);
  const PredictionTable other = three.make(1);
  CHECK_THROWS_AS(chorale::evaluate_table(test, &other, config_with(0), 1), chorale::InputError);
  CHECK_THROWS_AS(chorale::detect_table(test, other), chorale::InputError);
}

TEST_CASE("a set detected against itself scores one half, and a stranger set scores by its entropy") {
  const chorale::Predictions test = narrowed(RandomPredictions().make(1));
  const json same = chorale::evaluate_detection(test, test);
  for (const char* who : {"ensemble", "members_mean"}) {
    for (const char* score : {"entropy", "mutual_information", "max_probability"}) {
      CHECK(same.at(who).at("auroc").at(score).get<double>() == Approx(0.5).epsilon(1e-12));
    }
  }
  RandomPredictions flat;
  flat.sharpness = 0.05;
  const json strange = chorale::evaluate_detection(test, narrowed(flat.make(2)));
  CHECK(strange.at("ensemble").at("auroc").at("entropy").get<double>() > 0.95);
  CHECK(strange.at("ensemble").at("auroc").at("max_probability").get<double>() > 0.95);
}

TEST_CASE("percentile intervals interpolate between order statistics") {
  std::vector<double> values(101);
  std::iota(values.rbegin(), values.rend(), 0.0);
  const chorale::Interval interval = chorale::percentile_interval(values);
  CHECK(interval.low == Approx(2.5));
  CHECK(interval.high == Approx(97.5));
  CHECK(chorale::percentile_interval({4.0}).low == 4.0);
  std::vector<std::uint32_t> counts(30);
  chorale::draw_resample(5, 3, counts);
  CHECK(std::accumulate(counts.begin(), counts.end(), 0U) == 30);
}

TEST_CASE("token metrics: NLL per token, perplexity, and the pool of next-token distributions") {
  chorale::TokenPredictions tokens;
  tokens.members = 2;
  tokens.log_likelihoods = {std::log(0.5F),  std::log(0.25F), std::log(0.1F),
                            std::log(0.25F), std::log(0.25F), std::log(0.3F)};
  tokens.example_offsets = {0, 2, 3};
  tokens.example_ids = {"a", "b"};
  const json result = chorale::evaluate_tokens(tokens);
  CHECK(result.at("tokens") == 3);
  CHECK(result.at("examples") == 2);
  const double pooled = -(std::log(0.375) + std::log(0.25) + std::log(0.2)) / 3.0;
  CHECK(result.at("ensemble").at("nll").get<double>() == Approx(pooled).epsilon(1e-6));
  CHECK(result.at("ensemble").at("perplexity").get<double>() == Approx(std::exp(pooled)).epsilon(1e-6));
  const double first = -(std::log(0.5) + std::log(0.25) + std::log(0.1)) / 3.0;
  const double second = -(std::log(0.25) + std::log(0.25) + std::log(0.3)) / 3.0;
  CHECK(result.at("members").at("each").at(1).at("nll").get<double>() == Approx(second).epsilon(1e-6));
  CHECK(result.at("members").at("mean").at("nll").get<double>() == Approx((first + second) / 2.0).epsilon(1e-6));
  CHECK(result.at("members").at("std").at("nll").get<double>() ==
        Approx(std::abs(first - second) / std::sqrt(2.0)).epsilon(1e-5));
  CHECK(result.at("ensemble").at("nll").get<double>() <= result.at("members").at("mean").at("nll").get<double>());
}
