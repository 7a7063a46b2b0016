// The optimiser step without the host: every implementation against the plain twin.
#include "core/kernels/device_adamw.hpp"

#include <cmath>

#include "support/adamw_cases.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

TEST_CASE("the optimiser step equals its plain twin") {
  const AdamWCase c = adamw_case(57, at::kFloat, at::kCPU);
  AdamWRun fused(c);
  AdamWRun plain(c);
  for (std::uint64_t t = 0; t < 7; ++t) {
    fused.step(c.gradients(t), device_adamw_step);
    plain.step(c.gradients(t), device_adamw_step_plain);
    check_adamw_equal(fused, plain, 1e-6);
  }
}

TEST_CASE("a member whose training the caller ends keeps every bit, whatever its gradient") {
  for (const auto& step : {device_adamw_step, device_adamw_step_plain}) {
    const AdamWCase c = adamw_case(40, at::kFloat, at::kCPU);
    AdamWRun run(c);
    run.step(c.gradients(0), step);
    run.state.training[2].fill_(false);
    const AdamWRun before = run.copied();
    at::Tensor gradients = c.gradients(1);
    gradients[2].fill_(NAN);
    run.step(gradients, step);
    CHECK(same_bits(run.parameters[2], before.parameters[2]));
    CHECK(same_bits(run.state.first_moment[2], before.state.first_moment[2]));
    CHECK(same_bits(run.state.second_moment[2], before.state.second_moment[2]));
    CHECK(run.state.diverged_at[2].item<std::int64_t>() == 0);
    CHECK(run.state.counts[2].item<std::int64_t>() == 1);
    CHECK(!same_bits(run.parameters[0], before.parameters[0]));
  }
}
