#include "core/kernels/device_adamw.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/errors.hpp"
#include "core/kernels/adamw_kernel.hpp"
#include "core/kernels/device_kernels.hpp"
#include "core/kernels/parallel.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kNormPart =
    8192;  // columns that one sum of squares covers: a sum's order is the same everywhere

at::Tensor coefficient(const AdamWReport& report, AdamWCoefficient column) {
  return report.coefficients.select(1, column).unsqueeze(1);
}

// In parts of one size, added up in their order, however many threads there are.
void norms_on_cpu(const at::Tensor& gradients, AdamWState& state, AdamWReport& report) {
  const std::int64_t width = gradients.size(1);
  const std::int64_t parts = state.partial_sums.size(1);
  const float* g = gradients.const_data_ptr<float>();
  double* sums = state.partial_sums.mutable_data_ptr<double>();
  at::parallel_for(0, gradients.size(0) * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t column = i % parts * kNormPart;
      sums[i] = sum_of_squares(g + i / parts * width + column, std::min(kNormPart, width - column));
    }
  });
  double* norms = report.norms.mutable_data_ptr<double>();
  for (std::int64_t m = 0; m < gradients.size(0); ++m) {
    norms[m] = std::sqrt(std::accumulate(sums + m * parts, sums + (m + 1) * parts, 0.0));
  }
}

void take_norms(const at::Tensor& gradients, AdamWReport& report) {
  report.norms.copy_(
      at::linalg_vector_norm(gradients, 2, at::IntArrayRef{1}, /*keepdim=*/false, /*dtype=*/at::kDouble));
}

void decide_plain(const AdamWPlan& plan, AdamWState& state, AdamWReport& report) {
  const AdamWSettings& settings = plan.settings;
  const at::Tensor finite = report.norms.isfinite();
  const at::Tensor update = state.training.logical_and(finite);
  const at::Tensor taken = state.training.logical_and(finite.logical_not());
  state.diverged_at.copy_(at::where(taken, state.step + 1, state.diverged_at));
  state.training.copy_(update);
  state.counts.add_(update);
  const at::Tensor t = state.counts.to(at::kDouble);
  const at::Tensor done = state.step.clamp_max(plan.factors.size(0) - 1);
  const at::Tensor rate = plan.learning_rates * plan.factors.index_select(0, done);
  const at::Tensor none = at::zeros_like(rate);
  const auto set = [&](AdamWCoefficient column, const at::Tensor& value) {
    report.coefficients.select(1, column).copy_(value);
  };
  set(kAction, update.to(at::kDouble) * kUpdate + taken.to(at::kDouble) * kTakeAway);
  set(kGradientScale,
      settings.clip_norm > 0.0 ? (settings.clip_norm / (report.norms + 1e-6)).clamp_max(1.0) : none + 1);
  set(kStepSize, at::where(update, rate / (1.0 - at::pow(settings.beta1, t)), none));
  set(kInverseRoot, at::where(update, (1.0 - at::pow(settings.beta2, t)).rsqrt(), none));
  set(kLearningRate, rate);
}

void apply_plain(at::Tensor& parameters, const at::Tensor& gradients, const AdamWPlan& plan, AdamWState& state,
                 const AdamWReport& report) {
  const at::ScalarType type = parameters.scalar_type();
  const at::Tensor action = coefficient(report, kAction);
  const at::Tensor update = action.eq(kUpdate);
  const AdamWSettings& settings = plan.settings;
  const at::Tensor g = gradients * coefficient(report, kGradientScale).to(type);
  at::Tensor& m1 = state.first_moment;
  at::Tensor& m2 = state.second_moment;
  m1.copy_(at::where(update, m1 * settings.beta1 + g * (1.0 - settings.beta1), m1));
  m2.copy_(at::where(update, m2 * settings.beta2 + g * g * (1.0 - settings.beta2), m2));
  // Every column's decay, found through the segment it lies in.
  const at::Tensor columns = at::zeros({parameters.size(1)}, plan.segment_ends.options()).add_(1).cumsum(0) - 1;
  const at::Tensor segment = columns.unsqueeze(1).ge(plan.segment_ends.unsqueeze(0)).sum(1);
  const at::Tensor decay = plan.segment_decays.index_select(0, segment).unsqueeze(0);
  const at::Tensor keep = (1.0 - coefficient(report, kLearningRate) * decay).to(type);
  const at::Tensor denominator = m2.sqrt() * coefficient(report, kInverseRoot).to(type) + settings.epsilon;
  const at::Tensor stepped = parameters * keep - coefficient(report, kStepSize).to(type) * m1 / denominator;
  parameters.copy_(at::where(update, stepped, parameters).masked_fill_(action.eq(kTakeAway), 0.0));
}

void decide_on_cpu(const AdamWPlan& plan, AdamWState& state, AdamWReport& report) {
  const std::int64_t step = *state.step.const_data_ptr<std::int64_t>();
  const double factor = plan.factors.const_data_ptr<double>()[std::min(step, plan.factors.size(0) - 1)];
  for (std::int64_t m = 0; m < report.norms.size(0); ++m) {
    const AdamWMemberState member{state.training.mutable_data_ptr<bool>() + m,
                                  state.counts.mutable_data_ptr<std::int64_t>() + m,
                                  state.diverged_at.mutable_data_ptr<std::int64_t>() + m};
    decide_member(plan.settings, report.norms.const_data_ptr<double>()[m],
                  factor * plan.learning_rates.const_data_ptr<double>()[m], step, member,
                  report.coefficients.mutable_data_ptr<double>() + m * kAdamWCoefficients);
  }
}

AdamWConstants constants_of(const AdamWSettings& settings, const double* coefficients, double decay) {
  AdamWConstants constants;
  constants.beta1 = static_cast<float>(settings.beta1);
  constants.beta2 = static_cast<float>(settings.beta2);
  constants.one_minus_beta1 = static_cast<float>(1.0 - settings.beta1);
  constants.one_minus_beta2 = static_cast<float>(1.0 - settings.beta2);
  constants.epsilon = static_cast<float>(settings.epsilon);
  constants.step_size = static_cast<float>(coefficients[kStepSize]);
  constants.inverse_root = static_cast<float>(coefficients[kInverseRoot]);
  constants.gradient_scale = static_cast<float>(coefficients[kGradientScale]);
  constants.keep = static_cast<float>(1.0 - coefficients[kLearningRate] * decay);
  return constants;
}

// Threads share all members' columns: a segment is too short to be shared by itself.
void apply_on_cpu(at::Tensor& parameters, const at::Tensor& gradients, const AdamWPlan& plan, AdamWState& state,
                  const AdamWReport& report) {
  const std::int64_t width = parameters.size(1);
  const auto* ends = plan.segment_ends.const_data_ptr<std::int64_t>();
  const std::int64_t segments = plan.segment_ends.size(0);
  const auto* decays = plan.segment_decays.const_data_ptr<double>();
  const auto* coefficients = report.coefficients.const_data_ptr<double>();
  float* p = parameters.mutable_data_ptr<float>();
  const float* g = gradients.const_data_ptr<float>();
  float* m1 = state.first_moment.mutable_data_ptr<float>();
  float* m2 = state.second_moment.mutable_data_ptr<float>();
  for_rows(parameters.numel(), 1, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t member = begin / width;
      const double* c = coefficients + member * kAdamWCoefficients;
      const std::int64_t segment = std::upper_bound(ends, ends + segments, begin % width) - ends;
      const std::int64_t to = std::min(end, member * width + ends[segment]);
      if (c[kAction] == kTakeAway) std::fill(p + begin, p + to, 0.0F);
      if (c[kAction] == kUpdate) {
        adamw_kernel(p + begin, g + begin, m1 + begin, m2 + begin, to - begin,
                     constants_of(plan.settings, c, decays[segment]));
      }
      begin = to;
    }
  });
}

void step_on_device(at::Tensor& parameters, const at::Tensor& gradients, const at::Tensor& compute_copy,
                    const AdamWPlan& plan, AdamWState& state, AdamWReport& report) {
  const DeviceKernels kernels(parameters);
  device::SquaredNorms norms;
  norms.gradients = gradients.const_data_ptr<float>();
  norms.partial = state.partial_sums.mutable_data_ptr<double>();
  norms.members = parameters.size(0);
  norms.width = parameters.size(1);
  norms.part = kNormPart;
  norms.parts = state.partial_sums.size(1);
  kernels.run(&device::Kernels::squared_norms, norms);
  device::DecideStep decide;
  decide.settings = plan.settings;
  decide.partial = norms.partial;
  decide.norms = report.norms.mutable_data_ptr<double>();
  decide.rates = plan.learning_rates.const_data_ptr<double>();
  decide.factors = plan.factors.const_data_ptr<double>();
  decide.step = state.step.const_data_ptr<std::int64_t>();
  decide.training = state.training.mutable_data_ptr<bool>();
  decide.counts = state.counts.mutable_data_ptr<std::int64_t>();
  decide.diverged_at = state.diverged_at.mutable_data_ptr<std::int64_t>();
  decide.coefficients = report.coefficients.mutable_data_ptr<double>();
  decide.members = norms.members;
  decide.parts = norms.parts;
  decide.factor_count = plan.factors.size(0);
  kernels.run(&device::Kernels::decide_step, decide);
  device::ApplyAdamW apply;
  apply.settings = plan.settings;
  apply.parameters = parameters.mutable_data_ptr<float>();
  apply.gradients = norms.gradients;
  apply.first_moment = state.first_moment.mutable_data_ptr<float>();
  apply.second_moment = state.second_moment.mutable_data_ptr<float>();
  if (compute_copy.defined()) apply.copy = compute_copy.mutable_data_ptr<at::BFloat16>();
  apply.coefficients = decide.coefficients;
  apply.segment_ends = plan.segment_ends.const_data_ptr<std::int64_t>();
  apply.segment_decays = plan.segment_decays.const_data_ptr<double>();
  apply.step = state.step.mutable_data_ptr<std::int64_t>();
  apply.members = norms.members;
  apply.width = norms.width;
  apply.segments = plan.segment_ends.size(0);
  kernels.run(&device::Kernels::apply_adamw, apply);
}

void check(const at::Tensor& parameters, const at::Tensor& gradients, const AdamWPlan& plan) {
  CHORALE_ASSERT(parameters.is_contiguous() && gradients.is_contiguous() && parameters.sizes() == gradients.sizes(),
                 "parameters and gradients are two flat buffers of one shape");
  CHORALE_ASSERT(plan.learning_rates.size(0) == parameters.size(0) && plan.factors.size(0) > 0 &&
                     plan.segment_ends.size(0) == plan.segment_decays.size(0),
                 "an optimiser's plan speaks of the members and columns there are");
}

}  // namespace

AdamWState make_adamw_state(const at::Tensor& parameters) {
  const std::int64_t members = parameters.size(0);
  const std::int64_t parts = std::max<std::int64_t>(1, (parameters.size(1) + kNormPart - 1) / kNormPart);
  const at::TensorOptions options = parameters.options();
  AdamWState state;
  state.first_moment = at::zeros_like(parameters);
  state.second_moment = at::zeros_like(parameters);
  state.training = at::zeros({members}, options.dtype(at::kBool)).fill_(true);
  state.counts = at::zeros({members}, options.dtype(at::kLong));
  state.diverged_at = at::zeros({members}, options.dtype(at::kLong));
  state.step = at::zeros({1}, options.dtype(at::kLong));
  state.partial_sums = at::zeros({members, parts}, options.dtype(at::kDouble));
  return state;
}

AdamWReport make_adamw_report(const at::Tensor& parameters) {
  const at::TensorOptions options = parameters.options().dtype(at::kDouble);
  return {at::zeros({parameters.size(0)}, options), at::zeros({parameters.size(0), kAdamWCoefficients}, options)};
}

void device_adamw_step(at::Tensor& parameters, const at::Tensor& gradients, const at::Tensor& compute_copy,
                       const AdamWPlan& plan, AdamWState& state, AdamWReport& report) {
  if (parameters.scalar_type() == at::kFloat && DeviceKernels(parameters)) {
    check(parameters, gradients, plan);
    step_on_device(parameters, gradients, compute_copy, plan, state, report);
    return;
  }
  const bool fused = parameters.is_cpu() && parameters.scalar_type() == at::kFloat;
  if (!fused) {
    device_adamw_step_plain(parameters, gradients, compute_copy, plan, state, report);
    return;
  }
  check(parameters, gradients, plan);
  norms_on_cpu(gradients, state, report);
  decide_on_cpu(plan, state, report);
  apply_on_cpu(parameters, gradients, plan, state, report);
  if (compute_copy.defined()) compute_copy.copy_(parameters);
  state.step.add_(1);
}

void device_adamw_step_plain(at::Tensor& parameters, const at::Tensor& gradients, const at::Tensor& compute_copy,
                             const AdamWPlan& plan, AdamWState& state, AdamWReport& report) {
  check(parameters, gradients, plan);
  take_norms(gradients, report);
  decide_plain(plan, state, report);
  apply_plain(parameters, gradients, plan, state, report);
  if (compute_copy.defined()) compute_copy.copy_(parameters);
  state.step.add_(1);
}

}  // namespace chorale
