#include "core/calibration/reliability.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/calibration/metrics.hpp"
#include "core/calibration/scaled_rows.hpp"
#include "core/ensemble/pooling.hpp"
#include "support/catch.hpp"
#include "support/random_predictions.hpp"

using namespace chorale;  // NOLINT: the metric names are an unscoped enum
using chorale::test::RandomPredictions;

namespace {

double error_of(const std::vector<ReliabilityBin>& bins) {
  double examples = 0.0;
  double sum = 0.0;
  for (const ReliabilityBin& bin : bins) {
    examples += bin.count;
    sum += bin.count * bin.gap;
  }
  return sum / examples;
}

double ece_of(std::span<const LogRows> parts, const std::vector<std::int32_t>& labels, std::size_t bins) {
  double sum = 0.0;
  for (const LogRows& part : parts) sum += Contributions(part, labels, bins).metrics().values[ece];
  return sum / static_cast<double>(parts.size());
}

}  // namespace

TEST_CASE("the bins of a reliability diagram are those of the calibration error") {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    PredictionTable table = RandomPredictions{5, 200, 4, 2.0, true}.make(seed);
    table.labels[3] = table.labels[77] = -1;  // unlabelled: in no bin
    const LogRows pooled = pool(table, Pooling::arithmetic);
    const ScaledRows scaled = *scaled_rows(RandomPredictions{5, 80, 4}.make(seed + 10), table, pooled);
    for (const std::size_t bins : {1U, 7U, 15U}) {
      CHECK(error_of(reliability({&pooled, 1}, table.labels, bins, 0, 1)) ==
            Approx(ece_of({&pooled, 1}, table.labels, bins)).epsilon(1e-12));
      CHECK(error_of(reliability(table.members, table.labels, bins, 0, 1)) ==
            Approx(ece_of(table.members, table.labels, bins)).epsilon(1e-12));
      CHECK(error_of(reliability(scaled.members, table.labels, bins, 0, 1)) ==
            Approx(ece_of(scaled.members, table.labels, bins)).epsilon(1e-12));
    }
    // Over all bins together: examples, accuracy and mean confidence of the whole set.
    const auto whole = reliability({&pooled, 1}, table.labels, 1, 0, 1);
    CHECK(whole.front().count == 198.0);
    CHECK(whole.front().accuracy ==
          Approx(Contributions(pooled, table.labels, 1).metrics().values[accuracy]).epsilon(1e-12));
  }
}

TEST_CASE("three answers in two bins, worked out by hand") {
  LogRows rows{3, 2, {}};
  for (const double p : {0.9, 0.1, 0.8, 0.2, 0.6, 0.4}) rows.values.push_back(std::log(p));
  const auto bins = reliability({&rows, 1}, std::vector<std::int32_t>{0, 1, 0}, 4, 0, 1);
  REQUIRE(bins.size() == 4);
  CHECK(bins[0].count == 0.0);
  CHECK(bins[1].count == 0.0);
  CHECK(bins[2].low == 0.5);
  CHECK(bins[2].high == 0.75);
  CHECK(bins[2].count == 1.0);
  CHECK(bins[2].gap == Approx(0.4));
  CHECK(bins[3].confidence == Approx(0.85));
  CHECK(bins[3].accuracy == 0.5);
  CHECK(bins[3].gap == Approx(0.35));
}

TEST_CASE("several models side by side: counts are their mean, gaps do not cancel") {
  // One is too sure, the other not sure enough by as much: together they look calibrated, and neither is.
  LogRows sure{10, 2, {}};
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 10; ++i) {
    sure.values.push_back(std::log(0.8));
    sure.values.push_back(std::log(0.2));
    labels.push_back(i < 6 ? 0 : 1);  // right 6 times of 10
  }
  LogRows other = sure;
  for (std::size_t i = 0; i < 10; ++i) {
    std::swap(other.values[2 * i], other.values[2 * i + 1]);  // right 4 times of 10
  }
  const std::vector<LogRows> parts = {sure, other};
  const auto bins = reliability(parts, labels, 1, 0, 1);
  CHECK(bins.front().count == 10.0);
  CHECK(bins.front().accuracy == Approx(0.5));
  CHECK(bins.front().gap == Approx((0.2 + 0.4) / 2.0));
}

TEST_CASE("bands hold the accuracy, narrow with more examples and are missing where there are few") {
  const auto width = [](std::size_t examples) {
    const PredictionTable table = RandomPredictions{1, examples, 2}.make(4);
    const auto bins = reliability(table.members, table.labels, 4, 400, 9);
    double widest = 0.0;
    for (const ReliabilityBin& bin : bins) {
      CHECK(bin.band.has_value() == (bin.count >= kSmallestBandCount));
      if (!bin.band) continue;
      CHECK(bin.band->low <= bin.accuracy);
      CHECK(bin.band->high >= bin.accuracy);
      widest = std::max(widest, bin.band->high - bin.band->low);
    }
    return widest;
  };
  CHECK(width(2000) < 0.5 * width(100));
  // Against the binomial distribution: for n examples with share p, the resampled accuracy has variance p (1 - p) / n.
  const PredictionTable table = RandomPredictions{1, 1000, 3}.make(6);
  for (const ReliabilityBin& bin : reliability(table.members, table.labels, 3, 2000, 5)) {
    if (bin.count < 100.0) continue;
    const double deviation = std::sqrt(bin.accuracy * (1.0 - bin.accuracy) / bin.count);
    CHECK(bin.band->high - bin.band->low == Approx(2.0 * 1.96 * deviation).epsilon(0.12));
  }
  const auto first = reliability(table.members, table.labels, 5, 50, 3);
  const auto again = reliability(table.members, table.labels, 5, 50, 3);
  CHECK(first.back().band->low == again.back().band->low);
}
