#include "core/ensemble/pooling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/ensemble/log_math.hpp"
#include "support/catch.hpp"
#include "support/random_predictions.hpp"

using chorale::LogRows;
using chorale::pool;
using chorale::Pooling;
using chorale::PredictionTable;
using chorale::test::RandomPredictions;

namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

PredictionTable one_example(std::vector<std::vector<double>> members) {
  PredictionTable table;
  table.examples = 1;
  table.choices = members.front().size();
  for (auto& row : members) {
    table.members.push_back({1, table.choices, std::move(row)});
  }
  table.labels = {0};
  table.example_ids = {"a"};
  return table;
}

}  // namespace

TEST_CASE("log-sum-exp neither overflows nor turns -inf into NaN") {
  CHECK(chorale::log_sum_exp(std::vector<double>{1000.0, 1000.0}) == Approx(1000.0 + std::log(2.0)).epsilon(1e-15));
  CHECK(chorale::log_sum_exp(std::vector<double>{-1000.0, kNever}) == -1000.0);
  CHECK(chorale::log_sum_exp(std::vector<double>{kNever, kNever}) == kNever);
  CHECK(chorale::log_sum_exp(std::vector<double>{}) == kNever);
  CHECK(chorale::entropy(std::vector<double>{0.0, kNever}) == 0.0);
  CHECK(chorale::entropy(std::vector<double>(4, std::log(0.25))) == Approx(std::log(4.0)).epsilon(1e-15));
  CHECK(chorale::kl_divergence(std::vector<double>{0.0, kNever}, std::vector<double>{kNever, 0.0}) == -kNever);
  CHECK(chorale::argmax(std::vector<double>{1.0, 3.0, 3.0}) == 1);
}

TEST_CASE("arithmetic pooling is the mean of the probabilities") {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    RandomPredictions random;
    random.some_missing = true;
    const PredictionTable table = random.make(seed);
    const LogRows pooled = pool(table, Pooling::arithmetic);
    for (std::size_t cell = 0; cell < pooled.values.size(); ++cell) {
      double mean = 0.0;
      for (const LogRows& member : table.members) {
        mean += std::exp(member.values[cell]) / 4.0;
      }
      CHECK(std::exp(pooled.values[cell]) == Approx(mean).epsilon(1e-13).margin(1e-300));
    }
  }
}

TEST_CASE("geometric pooling is the normalised product of the members to the power 1/M") {
  const PredictionTable table = RandomPredictions().make(7);
  const LogRows pooled = pool(table, Pooling::geometric);
  for (std::size_t example = 0; example < table.examples; ++example) {
    std::vector<double> product(table.choices, 1.0);
    double total = 0.0;
    for (std::size_t choice = 0; choice < table.choices; ++choice) {
      for (const LogRows& member : table.members) {
        product[choice] *= std::pow(std::exp(member.row(example)[choice]), 0.25);
      }
      total += product[choice];
    }
    for (std::size_t choice = 0; choice < table.choices; ++choice) {
      CHECK(std::exp(pooled.row(example)[choice]) == Approx(product[choice] / total).epsilon(1e-12));
    }
  }
}

TEST_CASE("pooling equal members gives the member: bit for bit when arithmetic, for any number of members") {
  RandomPredictions random;
  random.members = 1;
  random.some_missing = true;
  for (const std::size_t members : {1U, 2U, 3U, 5U, 7U, 8U}) {
    PredictionTable table = random.make(11);
    table.members.resize(members, LogRows(table.members.front()));
    CHECK(pool(table, Pooling::arithmetic).values == table.members.front().values);
    const LogRows geometric = pool(table, Pooling::geometric);
    for (std::size_t cell = 0; cell < geometric.values.size(); ++cell) {
      const double expected = table.members.front().values[cell];
      CHECK((geometric.values[cell] == expected || std::abs(geometric.values[cell] - expected) < 1e-12));
    }
  }
}

TEST_CASE("the order of members changes a pool by rounding alone") {
  PredictionTable table = RandomPredictions().make(5);
  const LogRows before = pool(table, Pooling::arithmetic);
  std::reverse(table.members.begin(), table.members.end());
  const LogRows after = pool(table, Pooling::arithmetic);
  for (std::size_t cell = 0; cell < before.values.size(); ++cell) {
    CHECK(after.values[cell] == Approx(before.values[cell]).epsilon(1e-13));
  }
}

TEST_CASE("options ruled out by a member, and by all between them") {
  const double half = std::log(0.5);
  const LogRows arithmetic = pool(one_example({{0.0, kNever, kNever}, {half, half, kNever}}), Pooling::arithmetic);
  CHECK(std::exp(arithmetic.values[0]) == Approx(0.75));
  CHECK(std::exp(arithmetic.values[1]) == Approx(0.25));
  CHECK(arithmetic.values[2] == kNever);
  const LogRows geometric = pool(one_example({{0.0, kNever, kNever}, {half, half, kNever}}), Pooling::geometric);
  CHECK(geometric.values == std::vector<double>{0.0, kNever, kNever});
  const LogRows contradiction = pool(one_example({{0.0, kNever, kNever}, {kNever, 0.0, kNever}}), Pooling::geometric);
  CHECK(contradiction.values[0] == Approx(half));
  CHECK(contradiction.values[1] == Approx(half));
  CHECK(contradiction.values[2] == kNever);
}

TEST_CASE("widening keeps rows that are off by float32 rounding and divides others by their sum") {
  chorale::Predictions predictions{"p", 1, 2, 2, {}, {0, 1}, {"a", "b"}};
  predictions.log_probabilities = {std::log(0.25F), std::log(0.75F), std::log(0.2502F), std::log(0.7504F)};
  const PredictionTable table = chorale::prediction_table(predictions);
  CHECK(table.members[0].values[0] == static_cast<double>(std::log(0.25F)));
  CHECK(chorale::log_sum_exp(table.members[0].row(1)) == Approx(0.0).margin(1e-15));
  predictions.log_probabilities[3] = std::log(0.7F);
  CHECK_THROWS_AS(chorale::prediction_table(predictions), chorale::InternalError);
}
