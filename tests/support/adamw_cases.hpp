// Steps of the optimiser that any implementation can be put through: three members with rates of their own, the second
// of which becomes non-finite in the fourth step; decays that change in the middle of rows.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "core/kernels/device_adamw.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

namespace chorale::test {

struct AdamWCase {
  AdamWSettings settings;
  std::vector<double> rates, factors, decays;
  std::vector<std::int64_t> ends;
  at::Tensor parameters;

  /// Gradients of step t; the last member's are so small that clipping leaves them.
  [[nodiscard]] at::Tensor gradients(std::uint64_t t) const {
    at::Tensor g = random_tensor(parameters.sizes(), 400 + t, parameters.scalar_type());
    g[2].mul_(1e-3);
    if (t == 3) g[1][0].fill_(t % 2 == 0 ? NAN : INFINITY);
    return g.to(parameters.device());
  }
};

inline AdamWCase adamw_case(std::int64_t width, at::ScalarType type, at::Device device) {
  AdamWCase c;
  c.rates = {1e-2, 3e-2, 2e-3};
  c.factors = {0.25, 0.5, 1.0, 0.9, 0.4};
  for (const std::int64_t end : {width / 7, width / 3, width / 3 + 1, width / 2, width}) {
    if (end > (c.ends.empty() ? 0 : c.ends.back())) c.ends.push_back(end);
  }
  for (std::size_t i = 0; i < c.ends.size(); ++i) c.decays.push_back(0.3 * static_cast<double>(i));
  c.settings.clip_norm = 1.0;
  c.parameters = random_tensor({3, width}, 399, type).to(device);
  return c;
}

struct AdamWRun {
  explicit AdamWRun(const AdamWCase& c)
      : parameters(c.parameters.clone()),
        copy(parameters.to(at::kBFloat16)),
        state(make_adamw_state(parameters)),
        report(make_adamw_report(parameters)) {
    const at::TensorOptions options = parameters.options();
    const auto doubles = [&](const std::vector<double>& v) { return at::tensor(v, at::kDouble).to(options.device()); };
    plan = {c.settings, doubles(c.rates), doubles(c.factors), at::tensor(c.ends, at::kLong).to(options.device()),
            doubles(c.decays)};
  }

  template <typename Step>
  void step(const at::Tensor& gradients, const Step& step) {
    step(parameters, gradients, copy, plan, state, report);
  }

  [[nodiscard]] AdamWRun copied() const {
    AdamWRun other = *this;
    for (at::Tensor* t : {&other.parameters, &other.copy, &other.state.first_moment, &other.state.second_moment,
                          &other.state.training, &other.state.counts, &other.state.diverged_at, &other.state.step}) {
      *t = t->clone();
    }
    return other;
  }

  at::Tensor parameters, copy;
  AdamWState state;
  AdamWReport report;
  AdamWPlan plan;
};

inline void check_adamw_equal(const AdamWRun& run, const AdamWRun& expected, double tolerance) {
  const auto near = [&](const at::Tensor& a, const at::Tensor& b) {
    return difference(a.to(at::kCPU), b.to(at::kCPU)) <= tolerance;
  };
  CHECK(near(run.parameters, expected.parameters));
  CHECK(near(run.state.first_moment, expected.state.first_moment));
  CHECK(near(run.state.second_moment, expected.state.second_moment));
  CHECK(same_bits(run.copy.to(at::kCPU), run.parameters.to(at::kCPU).to(at::kBFloat16)));
  CHECK(same_bits(run.state.training.to(at::kCPU), expected.state.training.to(at::kCPU)));
  CHECK(same_bits(run.state.counts.to(at::kCPU), expected.state.counts.to(at::kCPU)));
  CHECK(same_bits(run.state.diverged_at.to(at::kCPU), expected.state.diverged_at.to(at::kCPU)));
  CHECK(same_bits(run.state.step.to(at::kCPU), expected.state.step.to(at::kCPU)));
  const auto finite = [](const at::Tensor& t) { return t.to(at::kCPU).nan_to_num(-1.0, -2.0, -3.0); };
  CHECK(difference(finite(run.report.norms), finite(expected.report.norms)) < 1e-9);
  CHECK(difference(finite(run.report.coefficients), finite(expected.report.coefficients)) < 1e-9);
}

}  // namespace chorale::test
