#include "core/base/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <set>
#include <tuple>

#include "support/catch.hpp"

using namespace chorale;

namespace {

// Sum over cells of (observed - expected)^2 / expected.
double chi_square(const std::vector<std::size_t>& counts, double expected) {
  double sum = 0.0;
  for (const std::size_t count : counts) {
    const double difference = static_cast<double>(count) - expected;
    sum += difference * difference / expected;
  }
  return sum;
}

}  // namespace

TEST_CASE("Philox gives the published known answers", "[random]") {
  // kat_vectors of the Random123 distribution, philox4x32 with 10 rounds.
  const philox::Block zeros = philox::block({0, 0, 0, 0}, {0, 0});
  CHECK(zeros == philox::Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t all = 0xffffffff;
  CHECK(philox::block({all, all, all, all}, {all, all}) ==
        philox::Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox::block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        philox::Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  static_assert(philox::block({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5);
}

TEST_CASE("a stream lays its meaning out in key and counter as documented", "[random]") {
  const RandomStream stream(0x0123456789abcdefULL, 0x00abcdef, Purpose::dropout, 0x0000fedcba987654ULL);
  const std::uint64_t counter = 0x0000003412345678ULL;
  CHECK(stream.block(counter) ==
        philox::block({0x12345678, 0xabcdef34, 0xba987654, 0x0003fedc}, {0x89abcdef, 0x01234567}));
  CHECK(stream.word(4 * counter + 2) == stream.block(counter)[2]);
}

TEST_CASE("different meanings give different blocks", "[random]") {
  std::set<philox::Block> seen;
  std::size_t made = 0;
  for (const std::uint64_t seed : {0ULL, 1ULL, 1ULL << 32U}) {
    for (const std::uint32_t member : {0U, 1U, 256U, RandomStream::kMaxMember}) {
      for (const Purpose purpose : {Purpose::initialisation, Purpose::data_order, Purpose::dropout}) {
        for (const std::uint64_t index :
             {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32U, RandomStream::kMaxIndex}) {
          for (const std::uint64_t counter :
               {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32U, RandomStream::kMaxCounter}) {
            seen.insert(RandomStream(seed, member, purpose, index).block(counter));
            ++made;
          }
        }
      }
    }
  }
  CHECK(seen.size() == made);
}

TEST_CASE("values outside the generator's fields are refused", "[random]") {
  CHECK_THROWS_AS(RandomStream(1, RandomStream::kMaxMember + 1, Purpose::test, 0), InternalError);
  CHECK_THROWS_AS(RandomStream(1, 0, Purpose::test, RandomStream::kMaxIndex + 1), InternalError);
  const RandomStream stream(1, 0, Purpose::test, 0);
  CHECK_THROWS_AS(stream.block(RandomStream::kMaxCounter + 1), InternalError);
  std::vector<float> values(1);
  CHECK_THROWS_AS(stream.fill_uniform(values, 1.0F, 1.0F), InternalError);
  RandomSequence sequence(stream);
  CHECK_THROWS_AS(sequence.below(0), InternalError);
}

TEST_CASE("uniform floats: range, mean, variance, chi-square", "[random]") {
  const RandomStream stream(1234, 3, Purpose::initialisation, 7);
  const std::size_t n = 400000;
  std::vector<float> values(n);
  stream.fill_uniform(values, 0.0F, 1.0F);
  double sum = 0.0;
  double squares = 0.0;
  std::vector<std::size_t> cells(100, 0);
  for (const float value : values) {
    REQUIRE(value >= 0.0F);
    REQUIRE(value < 1.0F);
    sum += static_cast<double>(value);
    squares += static_cast<double>(value) * static_cast<double>(value);
    ++cells[static_cast<std::size_t>(value * 100.0F)];
  }
  const double mean = sum / static_cast<double>(n);
  const double variance = squares / static_cast<double>(n) - mean * mean;
  CHECK(std::abs(mean - 0.5) < 4.0 * std::sqrt(1.0 / 12.0 / static_cast<double>(n)));
  CHECK(std::abs(variance - 1.0 / 12.0) < 4.0 * std::sqrt(1.0 / 180.0 / static_cast<double>(n)));
  // 99 degrees of freedom: 0.1 % lies above 148.2, 0.1 % below 61.1.
  const double statistic = chi_square(cells, static_cast<double>(n) / 100.0);
  CHECK(statistic < 148.2);
  CHECK(statistic > 61.1);
}

TEST_CASE("members and neighbouring indices are uncorrelated", "[random]") {
  const std::size_t n = 100000;
  const auto draw = [n](std::uint32_t member, std::uint64_t index) {
    std::vector<float> values(n);
    RandomStream(5, member, Purpose::dropout, index).fill_uniform(values, -1.0F, 1.0F);
    return values;
  };
  const std::vector<float> base = draw(0, 0);
  for (const auto& other : {draw(1, 0), draw(0, 1)}) {
    double product = 0.0;
    for (std::size_t i = 0; i < n; ++i) product += static_cast<double>(base[i]) * static_cast<double>(other[i]);
    // The product of two independent U(-1, 1) has variance 1/9.
    CHECK(std::abs(product / static_cast<double>(n)) < 4.0 / 3.0 / std::sqrt(static_cast<double>(n)));
  }
}

TEST_CASE("filling in pieces equals filling at once", "[random]") {
  const RandomStream stream(9, 1, Purpose::dropout, 3);
  std::vector<float> whole(1003);
  stream.fill_uniform(whole, -2.0F, 3.0F, 11);
  for (const std::size_t piece : {std::size_t{4}, std::size_t{64}, std::size_t{252}}) {
    std::vector<float> parts(whole.size());
    for (std::size_t start = 0; start < parts.size(); start += piece) {
      const std::size_t count = std::min(piece, parts.size() - start);
      stream.fill_uniform(std::span(parts).subspan(start, count), -2.0F, 3.0F, 11 + start / 4);
    }
    CHECK(parts == whole);
  }
  CHECK(*std::min_element(whole.begin(), whole.end()) >= -2.0F);
  CHECK(*std::max_element(whole.begin(), whole.end()) < 3.0F);
}

TEST_CASE("the upper end is never reached, even where rounding would", "[random]") {
  // Between 2^24 and 2^24 + 2 lies no float: low + width * u rounds to either end.
  std::vector<float> values(100);
  RandomStream(1, 0, Purpose::test, 0).fill_uniform(values, 16777216.0F, 16777218.0F);
  CHECK(std::all_of(values.begin(), values.end(), [](float value) { return value == 16777216.0F; }));
}

TEST_CASE("uniform doubles use 53 bits", "[random]") {
  CHECK(uniform_double(0, 0) == 0.0);
  CHECK(uniform_double(0xffffffff, 0xffffffff) == 1.0 - 0x1.0p-53);
  CHECK(uniform_double(0, 1U << 11U) == 0x1.0p-53);
  CHECK(uniform_float(0xffffffff) == 1.0F - 0x1.0p-24F);
}

TEST_CASE("integers below n are unbiased", "[random]") {
  for (const std::uint32_t n : {1U, 2U, 3U, 10U, 97U}) {
    RandomSequence sequence(RandomStream(77, 0, Purpose::bootstrap, n));
    std::vector<std::size_t> counts(n, 0);
    const std::size_t draws = 20000;
    for (std::size_t i = 0; i < draws; ++i) ++counts.at(sequence.below(n));
    const double freedom = static_cast<double>(n - 1);
    CHECK(chi_square(counts, static_cast<double>(draws) / n) <= freedom + 4.0 * std::sqrt(2.0 * freedom));
  }
  // For n = 3 * 2^30 a plain x % n would give values below 2^30 half of the time instead of a third.
  const std::uint32_t n = 3U << 30U;
  RandomSequence sequence(RandomStream(78, 0, Purpose::bootstrap, 0));
  std::size_t low = 0;
  for (int i = 0; i < 30000; ++i) low += sequence.below(n) < (1U << 30U) ? 1U : 0U;
  CHECK(std::abs(static_cast<double>(low) / 30000.0 - 1.0 / 3.0) < 4.0 * std::sqrt(2.0 / 9.0 / 30000.0));
}

TEST_CASE("permutations hold every number once and every order equally often", "[random]") {
  for (const std::uint32_t n : {0U, 1U, 2U, 1000U}) {
    std::vector<std::uint32_t> order = RandomStream(4, 2, Purpose::data_order, 1).permutation(n);
    REQUIRE(order.size() == n);
    std::sort(order.begin(), order.end());
    for (std::uint32_t i = 0; i < n; ++i) CHECK(order[i] == i);
  }
  CHECK(RandomStream(4, 2, Purpose::data_order, 1).permutation(50) !=
        RandomStream(4, 2, Purpose::data_order, 2).permutation(50));
  std::vector<std::size_t> counts(24, 0);
  std::set<std::vector<std::uint32_t>> orders;
  std::vector<std::vector<std::uint32_t>> drawn;
  for (std::uint64_t epoch = 0; epoch < 4800; ++epoch) {
    drawn.push_back(RandomStream(4, 0, Purpose::data_order, epoch).permutation(4));
    orders.insert(drawn.back());
  }
  REQUIRE(orders.size() == 24);
  for (const auto& order : drawn) ++counts[static_cast<std::size_t>(std::distance(orders.begin(), orders.find(order)))];
  CHECK(chi_square(counts, 200.0) < 49.7);  // 23 degrees of freedom, 0.1 %
}
