#include "core/calibration/member_counts.hpp"

#include <cmath>
#include <limits>
#include <map>

#include "core/calibration/metrics.hpp"
#include "core/calibration/pairs.hpp"
#include "core/ensemble/pooling.hpp"
#include "core/ensemble/uncertainty.hpp"
#include "support/catch.hpp"
#include "support/random_predictions.hpp"

using namespace chorale;  // NOLINT: the metric names are an unscoped enum
using chorale::test::RandomPredictions;

namespace {

constexpr std::array<Metric, 4> kMetrics = {accuracy, nll, brier, ece};

// Metrics of the members whose bits are set in `mask`, by way of the ensemble's own code.
Metrics metrics_of(const PredictionTable& table, unsigned mask, std::size_t bins) {
  PredictionTable subset = table;
  subset.members.clear();
  for (std::size_t member = 0; member < table.members.size(); ++member) {
    if ((mask >> member) & 1U) subset.members.push_back(table.members[member]);
  }
  return Contributions(pool(subset, Pooling::arithmetic), table.labels, bins).metrics();
}

}  // namespace

TEST_CASE("metrics by number of members are means over all subsets") {
  PredictionTable table = RandomPredictions{5, 70, 4, 2.0, true}.make(3);
  table.labels[9] = -1;
  const auto counts = metrics_by_member_count(table, 7, 1);
  REQUIRE(counts.size() == 5);
  std::map<std::size_t, std::vector<Metrics>> by_size;
  for (unsigned mask = 1; mask < 32; ++mask) {
    by_size[static_cast<std::size_t>(__builtin_popcount(mask))].push_back(metrics_of(table, mask, 7));
  }
  for (const MemberCount& count : counts) {
    const auto& subsets = by_size[count.members];
    CHECK(count.subsets == subsets.size());
    CHECK(count.all);
    for (std::size_t i = 0; i < kMetrics.size(); ++i) {
      double sum = 0.0;
      double squares = 0.0;
      for (const Metrics& metrics : subsets) sum += metrics.values[kMetrics[i]];
      const double mean = sum / static_cast<double>(subsets.size());
      for (const Metrics& metrics : subsets) squares += std::pow(metrics.values[kMetrics[i]] - mean, 2);
      CHECK(count.mean[i] == Approx(mean).epsilon(1e-12));
      CHECK(count.deviation[i] ==
            Approx(std::sqrt(squares / static_cast<double>(subsets.size()))).epsilon(1e-9).margin(1e-12));
    }
  }
}

TEST_CASE("a hundred random subsets stand for more, the same for a seed, and both ends are exact") {
  const PredictionTable table = RandomPredictions{12, 40, 3}.make(8);
  const auto counts = metrics_by_member_count(table, 10, 5);
  REQUIRE(counts.size() == 12);
  double each = 0.0;
  for (unsigned member = 0; member < 12; ++member) each += metrics_of(table, 1U << member, 10).values[nll] / 12.0;
  CHECK(counts.front().mean[1] == Approx(each).epsilon(1e-12));
  CHECK(counts.back().mean[1] == Approx(metrics_of(table, (1U << 12U) - 1U, 10).values[nll]).epsilon(1e-12));
  CHECK(counts[1].subsets == 66);  // 12 over 2
  CHECK(counts[1].all);
  CHECK(counts[4].subsets == 100);
  CHECK_FALSE(counts[4].all);
  // By convexity the NLL of a pool is at most the mean of its members', and falls with their number on average.
  for (std::size_t i = 1; i < counts.size(); ++i) CHECK(counts[i].mean[1] < counts[i - 1].mean[1] + 0.01);
  CHECK(metrics_by_member_count(table, 10, 5)[4].mean == counts[4].mean);
  CHECK(metrics_by_member_count(table, 10, 6)[4].mean != counts[4].mean);
  // The mean over all 792 subsets of five is near the mean over a hundred of them.
  double all = 0.0;
  for (unsigned mask = 0; mask < (1U << 12U); ++mask) {
    if (__builtin_popcount(mask) == 5) all += metrics_of(table, mask, 10).values[nll] / 792.0;
  }
  CHECK(counts[4].mean[1] == Approx(all).margin(4.0 * counts[4].deviation[1] / 10.0));
}

TEST_CASE("one member, and labels that a member rules out") {
  const PredictionTable one = RandomPredictions{1, 20, 3}.make(2);
  const auto single = metrics_by_member_count(one, 15, 1);
  REQUIRE(single.size() == 1);
  CHECK(single.front().subsets == 1);
  CHECK(single.front().deviation[1] == 0.0);

  PredictionTable table = RandomPredictions{2, 10, 3}.make(2);
  LogRows& member = table.members[0];
  const auto label = static_cast<std::size_t>(table.labels[4]);
  for (std::size_t choice = 0; choice < 3; ++choice) {
    member.row(4)[choice] = choice == label ? -std::numeric_limits<double>::infinity() : std::log(0.5);
  }
  const auto counts = metrics_by_member_count(table, 15, 1);
  CHECK(std::isinf(counts[0].mean[1]));
  CHECK(std::isfinite(counts[1].mean[1]));
}

TEST_CASE("a label's tiny probability keeps its logarithm") {
  PredictionTable table{"tiny", 1, 2, {}, {0}, {"a"}};
  table.members.assign(2, LogRows{1, 2, {-2000.0, 0.0}});
  CHECK(metrics_by_member_count(table, 15, 1)[1].mean[1] == Approx(2000.0));
}

TEST_CASE("pairwise disagreement is symmetric, zero on the diagonal, and its mean is the disagreement") {
  const PredictionTable table = RandomPredictions{6, 90, 4}.make(11);
  const auto shares = pairwise_disagreement(table);
  double sum = 0.0;
  for (std::size_t a = 0; a < 6; ++a) {
    CHECK(shares[a][a] == 0.0);
    for (std::size_t b = 0; b < 6; ++b) {
      CHECK(shares[a][b] == shares[b][a]);
      sum += a < b ? shares[a][b] / 15.0 : 0.0;
    }
  }
  double mean = 0.0;
  for (const double share : disagreement(table)) mean += share / 90.0;
  CHECK(sum == Approx(mean).epsilon(1e-12));
}
