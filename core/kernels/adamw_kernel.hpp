// The inner loops of AdamW's step on the CPU.
#pragma once

#include <cstdint>

namespace chorale {

struct AdamWConstants {
  float beta1 = 0, beta2 = 0, one_minus_beta1 = 0, one_minus_beta2 = 0;
  float epsilon = 0;
  float step_size = 0;     // learning rate / (1 - beta1^t)
  float inverse_root = 0;  // 1 / sqrt(1 - beta2^t)
  float keep = 1;          // 1 - learning rate * decay
  float gradient_scale = 1;
};

/// One pass over `count` parameters p, gradients g and moments m1, m2.
void adamw_kernel(float* p, const float* g, float* m1, float* m2, std::int64_t count, const AdamWConstants& constants);

/// Sum of the squares of `count` gradients, in float64.
[[nodiscard]] double sum_of_squares(const float* g, std::int64_t count);

}  // namespace chorale
