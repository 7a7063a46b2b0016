#include "core/ensemble/uncertainty.hpp"

#include <algorithm>
#include <cmath>

#include "core/ensemble/log_math.hpp"
#include "core/ensemble/pooling.hpp"
#include "support/catch.hpp"
#include "support/random_predictions.hpp"

using chorale::LogRows;
using chorale::pool;
using chorale::Pooling;
using chorale::PredictionTable;
using chorale::Uncertainty;
using chorale::test::RandomPredictions;

TEST_CASE("total = aleatoric + epistemic, none negative, epistemic at most log min(K, M)") {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
    RandomPredictions random;
    random.sharpness = static_cast<double>(seed) * 3.0;
    random.members = 2 + seed;
    random.choices = 3;
    random.some_missing = true;
    const PredictionTable table = random.make(seed);
    const Uncertainty split = chorale::uncertainty(table, pool(table, Pooling::arithmetic));
    for (std::size_t example = 0; example < table.examples; ++example) {
      CHECK(split.total[example] == Approx(split.aleatoric[example] + split.epistemic[example]).margin(1e-13));
      CHECK(split.aleatoric[example] >= 0.0);
      CHECK(split.epistemic[example] >= 0.0);
      CHECK(split.epistemic[example] <= std::log(3.0) + 1e-12);
    }
  }
}

TEST_CASE("epistemic uncertainty is exactly zero for equal members and log M for members sure of different things") {
  RandomPredictions random;
  random.members = 1;
  PredictionTable table = random.make(3);
  table.members.resize(5, LogRows(table.members.front()));
  const Uncertainty equal = chorale::uncertainty(table, pool(table, Pooling::arithmetic));
  CHECK(*std::max_element(equal.epistemic.begin(), equal.epistemic.end()) == 0.0);

  PredictionTable sure;
  sure.examples = 1;
  sure.choices = 3;
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  sure.members = {{1, 3, {0.0, kNever, kNever}}, {1, 3, {kNever, 0.0, kNever}}, {1, 3, {kNever, kNever, 0.0}}};
  const Uncertainty split = chorale::uncertainty(sure, pool(sure, Pooling::arithmetic));
  CHECK(split.total[0] == Approx(std::log(3.0)));
  CHECK(split.aleatoric[0] == 0.0);
  CHECK(split.epistemic[0] == Approx(std::log(3.0)));
}

TEST_CASE("disagreement equals counting the distinct pairs") {
  for (const std::size_t members : {1U, 2U, 3U, 6U}) {
    RandomPredictions random;
    random.members = members;
    random.sharpness = 0.5;
    const PredictionTable table = random.make(members);
    const std::vector<double> shares = chorale::disagreement(table);
    for (std::size_t example = 0; example < table.examples; ++example) {
      double differing = 0.0;
      double pairs = 0.0;
      for (std::size_t first = 0; first < members; ++first) {
        for (std::size_t second = first + 1; second < members; ++second) {
          pairs += 1.0;
          differing +=
              chorale::argmax(table.members[first].row(example)) != chorale::argmax(table.members[second].row(example))
                  ? 1.0
                  : 0.0;
        }
      }
      CHECK(shares[example] == Approx(pairs > 0.0 ? differing / pairs : 0.0).margin(1e-15));
    }
  }
}
