#include "core/calibration/auroc.hpp"

#include <cmath>
#include <vector>

#include "core/base/random.hpp"
#include "support/catch.hpp"

using chorale::auroc;

namespace {

// Scores on a coarse grid, so that ties are frequent.
std::vector<double> coarse_scores(std::size_t count, std::uint64_t seed, double shift) {
  chorale::RandomSequence random(chorale::RandomStream(seed, 0, chorale::Purpose::test, 1));
  std::vector<double> scores;
  for (std::size_t index = 0; index < count; ++index) {
    scores.push_back(std::floor(10.0 * (random.next_double() + shift)));
  }
  return scores;
}

double counted(const std::vector<double>& negatives, const std::vector<double>& positives) {
  double wins = 0.0;
  for (const double positive : positives) {
    for (const double negative : negatives) {
      wins += positive > negative ? 1.0 : (positive == negative ? 0.5 : 0.0);
    }
  }
  return wins / static_cast<double>(negatives.size() * positives.size());
}

std::vector<double> mapped(std::vector<double> scores, double (*map)(double)) {
  for (double& score : scores) {
    score = map(score);
  }
  return scores;
}

}  // namespace

TEST_CASE("AUROC equals counting pairs, with half credit for ties") {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const auto negatives = coarse_scores(70, seed, 0.0);
    const auto positives = coarse_scores(41, seed + 100, 0.2);
    const double area = auroc(negatives, positives);
    CHECK(area == Approx(counted(negatives, positives)).epsilon(1e-14));
    const auto flip = [](double score) { return -score; };
    CHECK(area + auroc(mapped(negatives, flip), mapped(positives, flip)) == Approx(1.0).epsilon(1e-14));
    const auto rising = [](double score) { return std::exp(score / 3.0); };
    CHECK(auroc(mapped(negatives, rising), mapped(positives, rising)) == area);
  }
}

TEST_CASE("AUROC at its ends") {
  CHECK(auroc(std::vector<double>{1, 2}, std::vector<double>{3, 4}) == 1.0);
  CHECK(auroc(std::vector<double>{3, 4}, std::vector<double>{1, 2}) == 0.0);
  CHECK(auroc(std::vector<double>{1, 1}, std::vector<double>{1, 1, 1}) == 0.5);
  CHECK(std::isnan(auroc(std::vector<double>{}, std::vector<double>{1})));
  CHECK(std::isnan(auroc(std::vector<double>{1}, std::vector<double>{})));
}
