// What steps gave, on its way from the device to the host.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "core/kernels/device_adamw.hpp"

namespace chorale {

/// One step of one member.
struct MemberResult {
  double loss = 0.0;        // this rank's part of the mean over the whole batch
  double divergence = 0.0;  // likewise
  double gradient_norm = 0.0;
  double learning_rate = 0.0;
  bool was_training = false;  // before this step
  bool diverged = false;      // became non-finite in this step
  std::int64_t tokens = 0;    // in the whole batch
};

struct StepResult {
  std::int64_t step = 0;  // counted from 1
  std::vector<MemberResult> members;
};

/// Keeps the results of steps in the order they were made. Adding one queues a copy and waits for nothing; taking them
/// waits for the last of them.
class StepResults {
 public:
  /// losses: [2, members] cross-entropy and divergence of step `step` (from 1); report: of its update.
  void add(std::int64_t step, std::vector<std::int64_t> tokens, const at::Tensor& losses, const AdamWReport& report);
  /// All that were added since the last time.
  [[nodiscard]] std::vector<StepResult> take();

 private:
  struct Pending {
    std::int64_t step;
    std::vector<std::int64_t> tokens;
    at::Tensor values;  // [5, members] on the device
  };
  std::deque<Pending> pending_;
};

}  // namespace chorale
