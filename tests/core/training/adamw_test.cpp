// AdamW: the fused kernel, the plain twin, and a float64 loop written from the definition.
#include "core/training/adamw.hpp"

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

TEST_CASE("twenty steps equal the definition, decay differing between segments") {
  const std::vector<DecaySegment> segments = {{0, 5, 0.0}, {5, 9, 0.5}};
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    at::Tensor parameters = random_tensor({2, 9}, 51, type);
    std::vector<Scalar> expected(18);
    for (std::size_t i = 0; i < 18; ++i) {
      expected[i].p = parameters.view({-1})[static_cast<std::int64_t>(i)].item<double>();
    }
    AdamW optimiser(parameters, {}, segments);
    for (int t = 1; t <= 20; ++t) {
      const at::Tensor gradients = random_tensor({2, 9}, 100 + static_cast<std::uint64_t>(t), type);
      const std::vector<MemberStep> steps = {{1e-2, 1.0, true}, {3e-2, 0.5, true}};
      optimiser.step(parameters, gradients, steps);
      for (std::size_t i = 0; i < 18; ++i) {
        const bool second = i >= 9;
        const double g = gradients.view({-1})[static_cast<std::int64_t>(i)].item<double>() * (second ? 0.5 : 1.0);
        expected[i].step(g, second ? 3e-2 : 1e-2, i % 9 < 5 ? 0.0 : 0.5, t);
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

TEST_CASE("a member that is not updated keeps its bits and its count") {
  at::Tensor parameters = random_tensor({3, 40}, 52, at::kFloat);
  const at::Tensor before = parameters.clone();
  AdamW optimiser(parameters, {}, {{0, 40, 0.1}});
  at::Tensor gradients = random_tensor({3, 40}, 53, at::kFloat);
  gradients[1].fill_(NAN);
  optimiser.step(parameters, gradients, {{1e-2, 1.0, true}, {1e-2, 1.0, false}, {1e-2, 1.0, true}});
  CHECK(same_bits(parameters[1], before[1]));
  CHECK(optimiser.first_moment()[1].abs().max().item<float>() == 0.0F);
  const std::vector<std::int64_t> counts = {1, 0, 1};
  CHECK(optimiser.counts() == counts);
  CHECK_FALSE(same_bits(parameters[0], before[0]));
  CHECK(parameters.isfinite().all().item<bool>());
}

TEST_CASE("row norms are float64 norms") {
  const at::Tensor gradients = random_tensor({2, 1000}, 54, at::kFloat) * 1e3;
  const std::vector<double> norms = row_norms(gradients);
  for (std::int64_t m = 0; m < 2; ++m) {
    CHECK(norms[static_cast<std::size_t>(m)] ==
          Approx(gradients[m].to(at::kDouble).norm().item<double>()).epsilon(1e-12));
  }
}
