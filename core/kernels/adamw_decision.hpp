// What one optimiser step does to one member, decided where the gradient lies: the same lines run on the CPU and inside
// a CUDA kernel, so that no step waits for the host. Plain C++17, for nvcc.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define CHORALE_HOST_DEVICE __host__ __device__
#else
#define CHORALE_HOST_DEVICE
#endif

namespace chorale {

/// What never changes during a run.
struct AdamWSettings {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double clip_norm = 0.0;  // each member's largest gradient norm; 0: no clipping
};

/// Columns of a step's coefficients, [members, kAdamWCoefficients] float64.
enum AdamWCoefficient : int {
  kAction = 0,         // one of the three below
  kGradientScale = 1,  // clipping
  kStepSize = 2,       // learning rate / (1 - beta1^t)
  kInverseRoot = 3,    // 1 / sqrt(1 - beta2^t)
  kLearningRate = 4,
  kAdamWCoefficients = 5,
};
constexpr double kLeave = 0.0;     // parameters and moments keep their bits
constexpr double kUpdate = 1.0;    // one step of AdamW
constexpr double kTakeAway = 2.0;  // became non-finite in this step: without its adapters it predicts as the base does

/// A member's lines of AdamWState (device_adamw.hpp).
struct AdamWMemberState {
  bool* training = nullptr;
  std::int64_t* count = nullptr;
  std::int64_t* diverged_at = nullptr;
};

/// Is the gradient of this norm finite, how far is it clipped, at which rate does it go. `rate`: the learning rate in
/// force; `step`: steps done before this one. Writes one line of coefficients.
CHORALE_HOST_DEVICE inline void decide_member(const AdamWSettings& settings, double norm, double rate,
                                              std::int64_t step, const AdamWMemberState& state, double* coefficients) {
  const bool finite = norm - norm == 0.0;  // neither infinite nor NaN
  const bool was_training = *state.training;
  const bool update = was_training && finite;
  if (was_training && !finite) {
    *state.training = false;
    *state.diverged_at = step + 1;
  }
  if (update) ++*state.count;
  const double t = static_cast<double>(*state.count);
  // torch's clip_grad_norm_ adds the same 1e-6.
  const double clipped = settings.clip_norm > 0.0 ? settings.clip_norm / (norm + 1e-6) : 1.0;
  coefficients[kAction] = update ? kUpdate : (was_training ? kTakeAway : kLeave);
  coefficients[kGradientScale] = clipped < 1.0 ? clipped : 1.0;
  coefficients[kStepSize] = update ? rate / (1.0 - pow(settings.beta1, t)) : 0.0;
  coefficients[kInverseRoot] = update ? 1.0 / sqrt(1.0 - pow(settings.beta2, t)) : 0.0;
  coefficients[kLearningRate] = rate;
}

}  // namespace chorale
