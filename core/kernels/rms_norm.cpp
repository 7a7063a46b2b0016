#include "core/kernels/rms_norm.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "core/kernels/parallel.hpp"
#include "core/kernels/simd.hpp"

namespace chorale {
namespace {

template <typename T>
CHORALE_INLINE void forward_rows(const T* x, const T* weight, T* y, T* scales, std::int64_t rows, std::int64_t hidden,
                                 T epsilon) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const T* in = x + row * hidden;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = 0; i < hidden; ++i) sum += in[i] * in[i];
    const T scale = T(1) / std::sqrt(sum / static_cast<T>(hidden) + epsilon);
    scales[row] = scale;
    T* out = y + row * hidden;
#pragma omp simd
    for (std::int64_t i = 0; i < hidden; ++i) out[i] = in[i] * scale * weight[i];
  }
}

// dx = scale * (g - n * mean(g*n)) with n = x*scale, g = dy*weight.
template <typename T>
CHORALE_INLINE void backward_rows(const T* x, const T* weight, const T* scales, const T* dy, T* dx, std::int64_t rows,
                                  std::int64_t hidden) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const T* in = x + row * hidden;
    const T* grad = dy + row * hidden;
    T* out = dx + row * hidden;
    const T scale = scales[row];
    T dot = 0;
#pragma omp simd reduction(+ : dot)
    for (std::int64_t i = 0; i < hidden; ++i) dot += grad[i] * weight[i] * in[i];
    const T shift = dot * scale * scale / static_cast<T>(hidden);
#pragma omp simd
    for (std::int64_t i = 0; i < hidden; ++i) out[i] = scale * (grad[i] * weight[i] - in[i] * shift);
  }
}

CHORALE_SIMD void forward_f32(const float* x, const float* w, float* y, float* s, std::int64_t rows,
                              std::int64_t hidden, float epsilon) {
  forward_rows(x, w, y, s, rows, hidden, epsilon);
}
CHORALE_SIMD void forward_f64(const double* x, const double* w, double* y, double* s, std::int64_t rows,
                              std::int64_t hidden, double epsilon) {
  forward_rows(x, w, y, s, rows, hidden, epsilon);
}
CHORALE_SIMD void backward_f32(const float* x, const float* w, const float* s, const float* dy, float* dx,
                               std::int64_t rows, std::int64_t hidden) {
  backward_rows(x, w, s, dy, dx, rows, hidden);
}
CHORALE_SIMD void backward_f64(const double* x, const double* w, const double* s, const double* dy, double* dx,
                               std::int64_t rows, std::int64_t hidden) {
  backward_rows(x, w, s, dy, dx, rows, hidden);
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon) {
    const std::int64_t rows = x.size(0);
    const std::int64_t hidden = x.size(1);
    at::Tensor y = at::empty_like(x);
    at::Tensor scales = at::empty({rows}, x.options());
    for_rows(rows, hidden, [&](std::int64_t begin, std::int64_t end) {
      if (x.scalar_type() == at::kFloat) {
        forward_f32(x.const_data_ptr<float>() + begin * hidden, weight.const_data_ptr<float>(),
                    y.mutable_data_ptr<float>() + begin * hidden, scales.mutable_data_ptr<float>() + begin, end - begin,
                    hidden, static_cast<float>(epsilon));
      } else {
        forward_f64(x.const_data_ptr<double>() + begin * hidden, weight.const_data_ptr<double>(),
                    y.mutable_data_ptr<double>() + begin * hidden, scales.mutable_data_ptr<double>() + begin,
                    end - begin, hidden, epsilon);
      }
    });
    context->save_for_backward({x, weight, scales});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const at::Tensor& scales = saved[2];
    const at::Tensor dy = gradients[0].contiguous();
    const std::int64_t rows = x.size(0);
    const std::int64_t hidden = x.size(1);
    at::Tensor dx = at::empty_like(x);
    for_rows(rows, hidden, [&](std::int64_t begin, std::int64_t end) {
      if (x.scalar_type() == at::kFloat) {
        backward_f32(x.const_data_ptr<float>() + begin * hidden, weight.const_data_ptr<float>(),
                     scales.const_data_ptr<float>() + begin, dy.const_data_ptr<float>() + begin * hidden,
                     dx.mutable_data_ptr<float>() + begin * hidden, end - begin, hidden);
      } else {
        backward_f64(x.const_data_ptr<double>() + begin * hidden, weight.const_data_ptr<double>(),
                     scales.const_data_ptr<double>() + begin, dy.const_data_ptr<double>() + begin * hidden,
                     dx.mutable_data_ptr<double>() + begin * hidden, end - begin, hidden);
      }
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType out) {
  const bool fused = x.is_cpu() && x.scalar_type() == out && (out == at::kFloat || out == at::kDouble);
  return fused ? RmsNorm::apply(x.contiguous(), weight, epsilon) : rms_norm_plain(x, weight, epsilon, out);
}

at::Tensor rms_norm_plain(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType out) {
  const at::Tensor scale = at::rsqrt(x.square().mean({-1}, /*keepdim=*/true) + epsilon);
  return (x * scale * weight).to(out);
}

}  // namespace chorale
