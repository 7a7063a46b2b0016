#include "core/training/adamw.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "core/base/errors.hpp"
#include "core/kernels/adamw_kernel.hpp"
#include "core/kernels/parallel.hpp"

namespace chorale {

AdamW::AdamW(const at::Tensor& parameters, const OptimiserConfig& config, std::vector<DecaySegment> segments)
    : config_(config),
      segments_(std::move(segments)),
      first_moment_(at::zeros_like(parameters)),
      second_moment_(at::zeros_like(parameters)),
      counts_(static_cast<std::size_t>(parameters.size(0)), 0) {
  CHORALE_ASSERT(!segments_.empty() && segments_.front().begin == 0 && segments_.back().end == parameters.size(1),
                 "decay segments cover every column");
}

void AdamW::step(at::Tensor& parameters, const at::Tensor& gradients, const std::vector<MemberStep>& steps) {
  for (std::size_t m = 0; m < steps.size(); ++m) {
    if (!steps[m].update) continue;
    ++counts_[m];
    at::Tensor row = parameters[static_cast<std::int64_t>(m)];
    const at::Tensor gradient = gradients[static_cast<std::int64_t>(m)];
    const bool fused = row.is_cpu() && row.scalar_type() == at::kFloat;
    fused ? step_member_fused(row, gradient, m, steps[m]) : step_member_plain(row, gradient, m, steps[m]);
  }
}

void AdamW::step_member_fused(at::Tensor& row, const at::Tensor& gradient, std::size_t member, const MemberStep& step) {
  const auto t = static_cast<double>(counts_[member]);
  AdamWConstants constants;
  constants.beta1 = static_cast<float>(config_.beta1);
  constants.beta2 = static_cast<float>(config_.beta2);
  constants.one_minus_beta1 = static_cast<float>(1.0 - config_.beta1);
  constants.one_minus_beta2 = static_cast<float>(1.0 - config_.beta2);
  constants.epsilon = static_cast<float>(config_.epsilon);
  constants.step_size = static_cast<float>(step.learning_rate / (1.0 - std::pow(config_.beta1, t)));
  constants.inverse_root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(config_.beta2, t)));
  constants.gradient_scale = static_cast<float>(step.gradient_scale);
  auto* p = row.mutable_data_ptr<float>();
  const auto* g = gradient.const_data_ptr<float>();
  const auto index = static_cast<std::int64_t>(member);
  auto* m1 = first_moment_[index].mutable_data_ptr<float>();
  auto* m2 = second_moment_[index].mutable_data_ptr<float>();
  for (const DecaySegment& segment : segments_) {
    AdamWConstants here = constants;
    here.keep = static_cast<float>(1.0 - step.learning_rate * segment.decay);
    for_rows(segment.end - segment.begin, 1, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t at = segment.begin + begin;
      adamw_kernel(p + at, g + at, m1 + at, m2 + at, end - begin, here);
    });
  }
}

void AdamW::step_member_plain(at::Tensor& row, const at::Tensor& gradient, std::size_t member, const MemberStep& step) {
  const auto t = static_cast<double>(counts_[member]);
  const auto index = static_cast<std::int64_t>(member);
  at::Tensor m1 = first_moment_[index];
  at::Tensor m2 = second_moment_[index];
  const at::Tensor g = gradient * step.gradient_scale;
  for (const DecaySegment& segment : segments_) {
    row.narrow(0, segment.begin, segment.end - segment.begin).mul_(1.0 - step.learning_rate * segment.decay);
  }
  m1.mul_(config_.beta1).add_(g, 1.0 - config_.beta1);
  m2.mul_(config_.beta2).addcmul_(g, g, 1.0 - config_.beta2);
  const at::Tensor denominator = m2.sqrt().div_(std::sqrt(1.0 - std::pow(config_.beta2, t))).add_(config_.epsilon);
  row.addcdiv_(m1, denominator, -step.learning_rate / (1.0 - std::pow(config_.beta1, t)));
}

std::vector<double> row_norms(const at::Tensor& gradients) {
  // On a GPU this waits for the backward pass: one small copy per step buys that a member that turned non-finite is
  // never applied.
  const at::Tensor norms =
      at::linalg_vector_norm(gradients, 2, at::IntArrayRef{1}, /*keepdim=*/false, at::kDouble).cpu().contiguous();
  const auto* values = norms.const_data_ptr<double>();
  return {values, values + norms.size(0)};
}

}  // namespace chorale
