// One optimiser step of all members without the host: norms, decisions and AdamW over the flat buffers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/kernels/adamw_decision.hpp"

namespace chorale {

/// What the steps change. Everything lies on the parameters' device and keeps its memory, so that a step can be
/// recorded once and replayed.
struct AdamWState {
  at::Tensor first_moment;   // [members, width], the parameters' type
  at::Tensor second_moment;  // same
  at::Tensor training;       // [members] bool. A step clears a member's when its gradient is not finite; callers may
                             // clear it between steps (early stopping)
  at::Tensor counts;         // [members] int64: updates each member has had
  at::Tensor diverged_at;    // [members] int64: the step, counted from 1, in which it became non-finite; 0: never
  at::Tensor step;           // [1] int64: steps done, whoever took part
  at::Tensor partial_sums;   // [members, parts] float64, scratch
};

/// What the steps read.
struct AdamWPlan {
  AdamWSettings settings;
  at::Tensor learning_rates;  // [members] float64, before the schedule
  at::Tensor factors;         // [steps] float64: the schedule's factor at each step; after its end the last one holds
  at::Tensor segment_ends;    // [segments] int64, ascending, the last is the width: columns that share a decay
  at::Tensor segment_decays;  // [segments] float64, decoupled weight decay
};

/// What a step did, until the next one. On the parameters' device.
struct AdamWReport {
  at::Tensor norms;         // [members] float64: Euclidean norms of the gradients before clipping
  at::Tensor coefficients;  // [members, kAdamWCoefficients] float64, see adamw_decision.hpp
};

/// The state before the first step. parameters: [members, width], float32 (or float64, for gradient checks).
[[nodiscard]] AdamWState make_adamw_state(const at::Tensor& parameters);
[[nodiscard]] AdamWReport make_adamw_report(const at::Tensor& parameters);

/// Per member: norm of its gradient (summed in float64, in a fixed order); finite or not; clipping; learning rate; then
/// decoupled weight decay and Adam (arXiv 1711.05101, algorithm 2, torch.optim.AdamW's order of operations). Members
/// that do not train keep every bit; one that has just become non-finite loses its adapters (zeros) and trains no
/// further. `compute_copy`: undefined, or [members, width] bfloat16, which gets the new parameters rounded.
///
/// float32 takes three kernels on CUDA and the vectorised loop on the CPU, anything else the plain twin. No value is
/// read by the host, no memory is allocated on CUDA in float32: the call can be captured in a graph.
void device_adamw_step(at::Tensor& parameters, const at::Tensor& gradients, const at::Tensor& compute_copy,
                       const AdamWPlan& plan, AdamWState& state, AdamWReport& report);

/// The plain twin: torch's operations on any device.
void device_adamw_step_plain(at::Tensor& parameters, const at::Tensor& gradients, const at::Tensor& compute_copy,
                             const AdamWPlan& plan, AdamWState& state, AdamWReport& report);

}  // namespace chorale
