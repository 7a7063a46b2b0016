#include "core/training/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/training/data_order.hpp"
#include "support/catch.hpp"

using namespace chorale;

TEST_CASE("warm-up rises from rate/steps to the full rate and never wastes a step") {
  ScheduleConfig schedule;
  schedule.kind = ScheduleKind::linear;
  schedule.warmup_fraction = 0.06;
  CHECK(warmup_steps(schedule, 114) == 7);  // 6.84 rounded up
  CHECK(learning_rate_factor(schedule, 0, 114) == Approx(1.0 / 7.0));
  CHECK(learning_rate_factor(schedule, 6, 114) == Approx(1.0));
  CHECK(learning_rate_factor(schedule, 7, 114) == Approx(1.0));
  CHECK(learning_rate_factor(schedule, 113, 114) == Approx(1.0 / 107.0));
}

TEST_CASE("every schedule stays above 0, at most 1, and does not rise after warm-up") {
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::linear, ScheduleKind::cosine}) {
    for (const std::int64_t total : {1, 2, 3, 17, 1000}) {
      for (const double fraction : {0.0, 0.06, 0.5, 1.0}) {
        const ScheduleConfig schedule{kind, fraction};
        double last = 1.0;
        for (std::int64_t step = 0; step < total; ++step) {
          const double factor = learning_rate_factor(schedule, step, total);
          REQUIRE(factor > 0.0);
          REQUIRE(factor <= 1.0);
          if (step > warmup_steps(schedule, total)) REQUIRE(factor <= last);
          last = factor;
        }
      }
    }
  }
}

TEST_CASE("the cosine is a cosine") {
  const ScheduleConfig schedule{ScheduleKind::cosine, 0.0};
  for (std::int64_t step = 0; step < 50; ++step) {
    const double expected = 0.5 * (1.0 + std::cos(std::numbers::pi * static_cast<double>(step) / 50.0));
    CHECK(learning_rate_factor(schedule, step, 50) == Approx(expected));
  }
}

TEST_CASE("an epoch shows every example once, in an order of the member's own") {
  const DataOrder order(30, 8, 5, true);
  CHECK(order.steps_per_epoch() == 4);
  std::vector<std::vector<std::size_t>> epochs;
  for (std::uint32_t member = 0; member < 2; ++member) {
    for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
      std::vector<std::size_t> seen;
      for (std::int64_t step = epoch * 4; step < (epoch + 1) * 4; ++step) {
        const auto batch = order.batch(member, step);
        CHECK(batch.size() == (step % 4 == 3 ? 6U : 8U));
        seen.insert(seen.end(), batch.begin(), batch.end());
      }
      epochs.push_back(seen);
      std::sort(seen.begin(), seen.end());
      for (std::size_t i = 0; i < 30; ++i) REQUIRE(seen[i] == i);
    }
  }
  CHECK(epochs[0] != epochs[1]);
  CHECK(epochs[0] != epochs[2]);
  const DataOrder shared(30, 8, 5, false);
  CHECK(shared.batch(0, 2) == shared.batch(7, 2));
}
