// AdamW over the flat buffers, each member by itself.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/training/training_config.hpp"

namespace chorale {

/// Columns of the flat buffer that share a decoupled weight decay.
struct DecaySegment {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  double decay = 0.0;
};

/// What one step does to one member.
struct MemberStep {
  double learning_rate = 0.0;
  double gradient_scale = 1.0;  // clipping
  bool update = true;           // false: parameters and moments keep their bits
};

/// Decoupled weight decay and Adam (arXiv 1711.05101, algorithm 2; torch.optim.AdamW's order of operations):
/// p *= 1 - lr*decay; m = b1*m + (1-b1)*g; v = b2*v + (1-b2)*g^2; p -= lr/(1-b1^t) * m / (sqrt(v/(1-b2^t)) + epsilon).
class AdamW {
 public:
  /// parameters: [members, width], float32 or float64. segments cover [0, width) in order.
  AdamW(const at::Tensor& parameters, const OptimiserConfig& config, std::vector<DecaySegment> segments);

  /// Updates `parameters` in place. steps: one entry per member. Members with update == false are not touched and do
  /// not count the step.
  void step(at::Tensor& parameters, const at::Tensor& gradients, const std::vector<MemberStep>& steps);

  [[nodiscard]] at::Tensor& first_moment() { return first_moment_; }
  [[nodiscard]] at::Tensor& second_moment() { return second_moment_; }
  /// Updates each member has had.
  [[nodiscard]] std::vector<std::int64_t>& counts() { return counts_; }

 private:
  void step_member_fused(at::Tensor& row, const at::Tensor& gradient, std::size_t member, const MemberStep& step);
  void step_member_plain(at::Tensor& row, const at::Tensor& gradient, std::size_t member, const MemberStep& step);

  OptimiserConfig config_;
  std::vector<DecaySegment> segments_;
  at::Tensor first_moment_;
  at::Tensor second_moment_;
  std::vector<std::int64_t> counts_;
};

/// Euclidean norm of each member's row, [members] float64 on the CPU. Sums in float64, in a fixed order.
[[nodiscard]] std::vector<double> row_norms(const at::Tensor& gradients);

}  // namespace chorale
