// The optimiser of a bank's members, each by itself.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/kernels/device_adamw.hpp"
#include "core/training/stopping.hpp"
#include "core/training/training_config.hpp"

namespace chorale {

/// Columns of the flat buffer that share a decoupled weight decay.
struct DecaySegment {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  double decay = 0.0;
};

/// How far the steps go.
struct StepRates {
  std::vector<double> learning_rates;  // [members] before the schedule
  std::vector<double> factors;         // [steps] the schedule's; after its end the last one holds
  std::optional<double> clip_norm;     // each member's largest gradient norm
};

/// AdamW over the flat buffers (core/kernels/device_adamw.hpp says what a step does). Whether a member's gradient is
/// finite, how far it is clipped and how far it goes is decided where the gradient lies; the host reads the report when
/// it needs to.
class AdamW {
 public:
  /// parameters: [members, width], float32 or float64. segments cover [0, width) in order.
  AdamW(const at::Tensor& parameters, const OptimiserConfig& config, const StepRates& rates,
        const std::vector<DecaySegment>& segments);

  /// One step of all members that train, `parameters` in place; `rounded`, where defined, gets them rounded. The report
  /// is overwritten by the next step.
  const AdamWReport& step(at::Tensor& parameters, const at::Tensor& gradients, const at::Tensor& rounded = {});

  /// Members whose state does not train keep every bit from now on.
  void follow(const std::vector<MemberState>& states);
  /// Goes on from `steps` done, of which each member has had its count of updates.
  void restore(std::int64_t steps, const std::vector<std::int64_t>& counts, const std::vector<MemberState>& states);

  [[nodiscard]] at::Tensor& first_moment() { return state_.first_moment; }
  [[nodiscard]] at::Tensor& second_moment() { return state_.second_moment; }
  /// Updates each member has had. Waits for the device.
  [[nodiscard]] std::vector<std::int64_t> counts() const;

 private:
  AdamWPlan plan_;
  AdamWState state_;
  AdamWReport report_;
};

}  // namespace chorale
