#include "core/calibration/metrics.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "core/calibration/bins.hpp"
#include "core/ensemble/log_math.hpp"
#include "core/ensemble/pooling.hpp"
#include "support/catch.hpp"
#include "support/random_predictions.hpp"

using namespace chorale;  // NOLINT: the metric names are an unscoped enum
using chorale::test::RandomPredictions;

namespace {

LogRows rows_of(const std::vector<std::vector<double>>& probabilities) {
  LogRows rows{probabilities.size(), probabilities.front().size(), {}};
  for (const auto& row : probabilities) {
    for (const double probability : row) {
      rows.values.push_back(std::log(probability));
    }
  }
  return rows;
}

Metrics metrics_of(const LogRows& rows, const std::vector<std::int32_t>& labels, std::size_t bins = 15) {
  return Contributions(rows, labels, bins).metrics();
}

}  // namespace

TEST_CASE("a confidence on an edge belongs to the bin below it, 0 to the first and 1 to the last") {
  for (const std::size_t count : {1U, 2U, 3U, 7U, 10U, 15U, 20U, 100U}) {
    const ConfidenceBins bins(count);
    CHECK(bins.index(0.0) == 0);
    CHECK(bins.index(1.0) == count - 1);
    CHECK(bins.index(1.0 + 1e-6) == count - 1);
    for (std::size_t k = 1; k <= count; ++k) {
      const double edge = static_cast<double>(k) / static_cast<double>(count);
      CHECK(bins.index(edge) == k - 1);
      CHECK(bins.index(std::exp(std::log(edge))) == k - 1);
      CHECK(bins.index(edge - 1e-9) == k - 1);
      CHECK(bins.index(edge + 1e-9) == std::min(k, count - 1));
    }
  }
  const ConfidenceBins fifteen(15);
  CHECK(fifteen.index(0.6) == 8);
  CHECK(fifteen.index(0.2 + 0.4) == 8);  // one unit above 0.6
  CHECK(fifteen.index(9.0 / 15.0) == 8);
}

TEST_CASE("four examples worked out by hand") {
  // Confidences .9 .7 .5 .6; right: yes, no, yes, no (label of the last lies on the other side).
  const LogRows rows = rows_of({{0.9, 0.1}, {0.3, 0.7}, {0.5, 0.5}, {0.4, 0.6}});
  const Metrics result = metrics_of(rows, {0, 0, 0, 0}, 10);
  CHECK(result.values[accuracy] == 0.5);  // the tie goes to the lower index
  CHECK(result.values[nll] == Approx(-(std::log(0.9) + std::log(0.3) + std::log(0.5) + std::log(0.4)) / 4.0));
  CHECK(result.values[brier] == Approx((0.02 + 0.98 + 0.5 + 0.72) / 4.0));
  // Bins (.8,.9] gap .1, (.6,.7] gap -.7, (.4,.5] gap .5, (.5,.6] gap -.6.
  CHECK(result.values[ece] == Approx((0.1 + 0.7 + 0.5 + 0.6) / 4.0));
  CHECK(result.values[ece_10] == result.values[ece]);
  CHECK(result.values[mce] == Approx(0.7));
  CHECK(result.infinite == 0.0);
}

TEST_CASE("an impossible label makes the NLL infinite and is counted, never clamped") {
  const LogRows rows = rows_of({{1.0, 0.0}, {0.0, 1.0}, {0.5, 0.5}});
  const Metrics result = metrics_of(rows, {1, 1, 0});
  CHECK(std::isinf(result.values[nll]));
  CHECK(result.infinite == 1.0);
  CHECK(result.values[brier] == Approx((2.0 + 0.0 + 0.5) / 3.0));
  const std::vector<std::uint32_t> without = {0, 2, 1};
  const Metrics resample = Contributions(rows, std::vector<std::int32_t>{1, 1, 0}, 15).metrics(without);
  CHECK(resample.values[nll] == Approx(std::log(2.0) / 3.0));
  CHECK(resample.infinite == 0.0);
}

TEST_CASE("unlabelled examples do not count") {
  const LogRows rows = rows_of({{0.9, 0.1}, {0.2, 0.8}, {0.3, 0.7}});
  const Metrics with = metrics_of(rows, {0, -1, 1});
  const Metrics without = metrics_of(rows_of({{0.9, 0.1}, {0.3, 0.7}}), {0, 1});
  CHECK(with.values == without.values);
}

TEST_CASE("ECE with one bin is the distance of accuracy and mean confidence, and ECE is at most MCE") {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const PredictionTable table = RandomPredictions().make(seed);
    const LogRows& rows = table.members.front();
    double confidence = 0.0;
    for (std::size_t example = 0; example < rows.examples; ++example) {
      confidence += std::exp(rows.row(example)[argmax(rows.row(example))]) / static_cast<double>(rows.examples);
    }
    const Metrics one = metrics_of(rows, table.labels, 1);
    CHECK(one.values[ece] == Approx(std::abs(one.values[accuracy] - confidence)).margin(1e-14));
    CHECK(one.values[mce] == Approx(one.values[ece]).margin(1e-14));
    for (const std::size_t bins : {5U, 15U, 40U}) {
      const Metrics many = metrics_of(rows, table.labels, bins);
      CHECK(many.values[ece] <= many.values[mce] + 1e-15);
      CHECK(many.values[ece] >= one.values[ece] - 1e-15);  // finer bins cannot hide a gap of coarser ones they split
    }
  }
}

TEST_CASE("ECE is zero where confidence equals accuracy in each bin") {
  // Four examples at .75 of which three are right, five at .6 of which three are right.
  std::vector<std::vector<double>> probabilities(4, {0.75, 0.25});
  probabilities.resize(9, {0.6, 0.4});
  const Metrics result = metrics_of(rows_of(probabilities), {0, 0, 0, 1, 0, 0, 0, 1, 1});
  CHECK(result.values[ece] == Approx(0.0).margin(1e-15));
  CHECK(result.values[mce] == Approx(0.0).margin(1e-15));
}

TEST_CASE("pooling identities: NLL, Brier and the geometric mean's divergence") {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U, 5U}) {
    RandomPredictions random;
    random.some_missing = true;
    random.members = 1 + seed;
    const PredictionTable table = random.make(seed);
    const LogRows pooled = pool(table, Pooling::arithmetic);
    const LogRows product = pool(table, Pooling::geometric);
    const double members = static_cast<double>(table.members.size());
    const double examples = static_cast<double>(table.examples);
    double mean_nll = 0.0;
    double mean_brier = 0.0;
    double divergence = 0.0;
    double variance = 0.0;
    for (const LogRows& member : table.members) {
      const Metrics of_member = metrics_of(member, table.labels);
      mean_nll += of_member.values[nll] / members;
      mean_brier += of_member.values[brier] / members;
      for (std::size_t example = 0; example < table.examples; ++example) {
        divergence += kl_divergence(product.row(example), member.row(example)) / members / examples;
        for (std::size_t choice = 0; choice < table.choices; ++choice) {
          const double gap = std::exp(member.row(example)[choice]) - std::exp(pooled.row(example)[choice]);
          variance += gap * gap / members / examples;
        }
      }
    }
    const Metrics of_pool = metrics_of(pooled, table.labels);
    CHECK(of_pool.values[nll] <= mean_nll + 1e-12);
    CHECK(of_pool.values[brier] == Approx(mean_brier - variance).epsilon(1e-12));
    CHECK(metrics_of(product, table.labels).values[nll] == Approx(mean_nll - divergence).epsilon(1e-12));
  }
}

TEST_CASE("metrics of a resample equal those of the examples written out") {
  const PredictionTable table = RandomPredictions().make(9);
  const LogRows& rows = table.members.front();
  std::vector<std::uint32_t> counts(table.examples, 0);
  LogRows written{0, table.choices, {}};
  std::vector<std::int32_t> labels;
  for (std::size_t example = 0; example < table.examples; ++example) {
    counts[example] = static_cast<std::uint32_t>((example * 7) % 4);
    for (std::uint32_t copy = 0; copy < counts[example]; ++copy) {
      written.values.insert(written.values.end(), rows.row(example).begin(), rows.row(example).end());
      labels.push_back(table.labels[example]);
      ++written.examples;
    }
  }
  const Metrics resampled = Contributions(rows, table.labels, 15).metrics(counts);
  const Metrics expected = metrics_of(written, labels);
  for (std::size_t metric = 0; metric < metric_count; ++metric) {
    CHECK(resampled.values[metric] == Approx(expected.values[metric]).epsilon(1e-12));
  }
}
