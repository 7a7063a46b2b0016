#include "core/kernels/adamw_kernel.hpp"

#include <cmath>

#include "core/kernels/simd.hpp"

namespace chorale {

CHORALE_SIMD void adamw_kernel(float* p, const float* g, float* m1, float* m2, std::int64_t count,
                               const AdamWConstants& constants) {
  const AdamWConstants c = constants;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float gradient = g[i] * c.gradient_scale;
    m1[i] = c.beta1 * m1[i] + c.one_minus_beta1 * gradient;
    m2[i] = c.beta2 * m2[i] + c.one_minus_beta2 * gradient * gradient;
    p[i] = p[i] * c.keep - c.step_size * m1[i] / (std::sqrt(m2[i]) * c.inverse_root + c.epsilon);
  }
}

CHORALE_SIMD double sum_of_squares(const float* g, std::int64_t count) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  return sum;
}

}  // namespace chorale
