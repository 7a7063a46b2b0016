// AdamW: the fused kernel, the plain twin, and a float64 loop written from the definition.
#include "core/training/adamw.hpp"

#include <algorithm>
#include <cmath>

#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

// torch.optim.AdamW element by element in float64.
struct Scalar {
  double p = 0, m = 0, v = 0;
  void step(double g, double lr, double decay, int t) {
    p *= 1.0 - lr * decay;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    p -= lr / (1.0 - std::pow(0.9, t)) * m / (std::sqrt(v / (1.0 - std::pow(0.999, t))) + 1e-8);
  }
};

}  // namespace

TEST_CASE("twenty steps equal the definition: decay by segment, rate by member and step, clipping") {
  const std::vector<DecaySegment> segments = {{0, 5, 0.0}, {5, 9, 0.5}};
  const StepRates rates = {{1e-2, 3e-2}, {0.5, 1.0, 0.25}, 2.0};
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    at::Tensor parameters = random_tensor({2, 9}, 51, type);
    std::vector<Scalar> expected(18);
    for (std::size_t i = 0; i < 18; ++i) {
      expected[i].p = parameters.view({-1})[static_cast<std::int64_t>(i)].item<double>();
    }
    AdamW optimiser(parameters, {}, rates, segments);
    for (int t = 1; t <= 20; ++t) {
      const at::Tensor gradients = random_tensor({2, 9}, 100 + static_cast<std::uint64_t>(t), type);
      const AdamWReport& report = optimiser.step(parameters, gradients);
      const double factor = rates.factors[static_cast<std::size_t>(std::min(t - 1, 2))];
      for (std::size_t m = 0; m < 2; ++m) {
        const at::Tensor row = gradients[static_cast<std::int64_t>(m)];
        const double norm = row.to(at::kDouble).norm().item<double>();
        CHECK(report.norms[static_cast<std::int64_t>(m)].item<double>() == Approx(norm).epsilon(1e-12));
        const double scale = std::min(1.0, 2.0 / (norm + 1e-6));
        for (std::size_t i = 0; i < 9; ++i) {
          const double g = row[static_cast<std::int64_t>(i)].item<double>() * scale;
          expected[m * 9 + i].step(g, factor * rates.learning_rates[m], i < 5 ? 0.0 : 0.5, t);
        }
      }
    }
    double worst = 0.0;
    for (std::size_t i = 0; i < 18; ++i) {
      const double value = parameters.view({-1})[static_cast<std::int64_t>(i)].item<double>();
      worst = std::max(worst, std::abs(value - expected[i].p));
    }
    CHECK(worst < (type == at::kFloat ? 5e-6 : 1e-14));
  }
}

TEST_CASE("a member that has stopped keeps its bits and its count, and one that diverges loses its adapters alone") {
  at::Tensor parameters = random_tensor({4, 40}, 52, at::kFloat);
  const at::Tensor before = parameters.clone();
  AdamW optimiser(parameters, {}, {{1e-2, 1e-2, 1e-2, 1e-2}, {1.0}, std::nullopt}, {{0, 40, 0.1}});
  at::Tensor gradients = random_tensor({4, 40}, 53, at::kFloat);
  gradients[1].fill_(NAN);
  gradients[3][7].fill_(INFINITY);
  std::vector<MemberState> states(4);
  states[1].training = false;
  optimiser.follow(states);
  optimiser.step(parameters, gradients);
  CHECK(same_bits(parameters[1], before[1]));
  CHECK(optimiser.first_moment()[1].abs().max().item<float>() == 0.0F);
  const std::vector<std::int64_t> counts = {1, 0, 1, 0};
  CHECK(optimiser.counts() == counts);
  CHECK_FALSE(same_bits(parameters[0], before[0]));
  CHECK(parameters[3].abs().max().item<float>() == 0.0F);
  CHECK(parameters.isfinite().all().item<bool>());
}

TEST_CASE("an optimiser that is restored goes on as the one it was taken from") {
  const StepRates rates = {{1e-2, 2e-2}, {0.1, 0.2, 0.4, 0.8}, 1.0};
  at::Tensor straight = random_tensor({2, 30}, 60, at::kFloat);
  at::Tensor resumed = straight.clone();
  AdamW first(straight, {}, rates, {{0, 30, 0.1}});
  for (std::uint64_t t = 0; t < 2; ++t) first.step(straight, random_tensor({2, 30}, 61 + t, at::kFloat));
  resumed.copy_(straight);
  AdamW second(resumed, {}, rates, {{0, 30, 0.1}});
  second.first_moment().copy_(first.first_moment());
  second.second_moment().copy_(first.second_moment());
  second.restore(2, first.counts(), std::vector<MemberState>(2));
  for (std::uint64_t t = 2; t < 4; ++t) {
    first.step(straight, random_tensor({2, 30}, 61 + t, at::kFloat));
    second.step(resumed, random_tensor({2, 30}, 61 + t, at::kFloat));
  }
  CHECK(same_bits(resumed, straight));
}
