#include "core/kernels/rms_norm.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <optional>

#include "core/kernels/device_kernels.hpp"
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

// The kernels of a device, with the addition before the norm when there is a `delta`. Saves what was normed and one
// number per row.
class DeviceRmsNorm : public torch::autograd::Function<DeviceRmsNorm> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                                                const std::optional<at::Tensor>& delta, const at::Tensor& weight,
                                                double epsilon, at::ScalarType out) {
    device::RmsNormForward a;
    a.type = kernel_type(out);
    a.rows = x.size(0);
    a.hidden = x.size(1);
    a.epsilon = static_cast<float>(epsilon);
    at::Tensor y = at::empty(x.sizes(), x.options().dtype(out));
    at::Tensor scales = at::empty({a.rows}, x.options());
    at::Tensor residual = delta ? at::empty_like(x) : at::Tensor();
    a.x = x.const_data_ptr<float>();
    a.weight = weight.const_data_ptr<float>();
    a.scales = scales.mutable_data_ptr<float>();
    a.y = y.mutable_data_ptr();
    if (delta) {
      a.delta = delta->const_data_ptr();
      a.residual = residual.mutable_data_ptr<float>();
    }
    DeviceKernels(x).run(&device::Kernels::rms_norm_forward, a);
    context->set_materialize_grads(false);
    context->save_for_backward({delta ? residual : x, weight, scales});
    context->saved_data["out"] = static_cast<std::int64_t>(out);
    return delta ? torch::autograd::variable_list{y, residual} : torch::autograd::variable_list{y};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto out = static_cast<at::ScalarType>(context->saved_data["out"].toInt());
    const at::Tensor& residual = saved[0];
    const bool added = gradients.size() == 2;
    if (!gradients[0].defined()) {
      const at::Tensor through = added ? gradients[1] : at::Tensor();
      return {through, added && through.defined() ? through.to(out) : at::Tensor(), at::Tensor(), at::Tensor(),
              at::Tensor()};
    }
    const at::Tensor dy = gradients[0].contiguous();
    const at::Tensor d_residual = added && gradients[1].defined() ? gradients[1].contiguous() : at::Tensor();
    at::Tensor dx = at::empty_like(residual);
    at::Tensor d_delta = added ? at::empty(residual.sizes(), residual.options().dtype(out)) : at::Tensor();
    device::RmsNormBackward a;
    a.type = kernel_type(out);
    a.rows = residual.size(0);
    a.hidden = residual.size(1);
    a.residual = residual.const_data_ptr<float>();
    a.weight = saved[1].const_data_ptr<float>();
    a.scales = saved[2].const_data_ptr<float>();
    a.dy = dy.const_data_ptr();
    if (d_residual.defined()) a.d_residual = d_residual.const_data_ptr<float>();
    a.dx = dx.mutable_data_ptr<float>();
    if (added) a.d_delta = d_delta.mutable_data_ptr();
    DeviceKernels(residual).run(&device::Kernels::rms_norm_backward, a);
    return {dx, d_delta, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

bool on_device(const at::Tensor& x, at::ScalarType out) {
  return x.scalar_type() == at::kFloat && is_kernel_type(out) && DeviceKernels(x);
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType out) {
  if (on_device(x, out)) return DeviceRmsNorm::apply(x.contiguous(), std::nullopt, weight, epsilon, out)[0];
  const bool fused = x.is_cpu() && x.scalar_type() == out && (out == at::kFloat || out == at::kDouble);
  return fused ? RmsNorm::apply(x.contiguous(), weight, epsilon) : rms_norm_plain(x, weight, epsilon, out);
}

ResidualNorm add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double epsilon,
                          at::ScalarType out) {
  if (on_device(x, out) && delta.scalar_type() == out) {
    const auto both =
        DeviceRmsNorm::apply(x.contiguous(), std::optional<at::Tensor>(delta.contiguous()), weight, epsilon, out);
    return {both[1], both[0]};
  }
  const at::Tensor residual = x + delta;
  return {residual, rms_norm(residual, weight, epsilon, out)};
}

ResidualNorm add_rms_norm_plain(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double epsilon,
                                at::ScalarType out) {
  const at::Tensor residual = x + delta;
  return {residual, rms_norm_plain(residual, weight, epsilon, out)};
}

at::Tensor rms_norm_plain(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType out) {
  const at::Tensor scale = at::rsqrt(x.square().mean({-1}, /*keepdim=*/true) + epsilon);
  return (x * scale * weight).to(out);
}

}  // namespace chorale
