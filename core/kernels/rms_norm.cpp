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

// Where there is a `delta`, residual = x + delta is normed and kept.
template <typename T>
struct ForwardRows {
  const T* x = nullptr;
  const T* delta = nullptr;  // or none
  const T* weight = nullptr;
  T* residual = nullptr;  // with delta only
  T* y = nullptr;
  T* scales = nullptr;
};

template <typename T>
CHORALE_INLINE void forward_rows(const ForwardRows<T>& a, std::int64_t begin, std::int64_t end, std::int64_t hidden,
                                 T epsilon) {
  const T* weight = a.weight;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* in = a.x + row * hidden;
    T sum = 0;
    if (a.delta == nullptr) {
#pragma omp simd reduction(+ : sum)
      for (std::int64_t i = 0; i < hidden; ++i) sum += in[i] * in[i];
    } else {
      const T* delta = a.delta + row * hidden;
      T* residual = a.residual + row * hidden;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t i = 0; i < hidden; ++i) {
        residual[i] = in[i] + delta[i];
        sum += residual[i] * residual[i];
      }
      in = residual;
    }
    const T scale = T(1) / std::sqrt(sum / static_cast<T>(hidden) + epsilon);
    a.scales[row] = scale;
    T* out = a.y + row * hidden;
#pragma omp simd
    for (std::int64_t i = 0; i < hidden; ++i) out[i] = in[i] * scale * weight[i];
  }
}

template <typename T>
struct BackwardRows {
  const T* x = nullptr;  // what was normed
  const T* weight = nullptr;
  const T* scales = nullptr;
  const T* dy = nullptr;
  const T* d_residual = nullptr;  // what else the normed has as gradient, or none
  T* dx = nullptr;
};

// dx = scale * (g - n * mean(g*n)) with n = x*scale, g = dy*weight.
template <typename T>
CHORALE_INLINE void backward_rows(const BackwardRows<T>& a, std::int64_t begin, std::int64_t end, std::int64_t hidden) {
  const T* weight = a.weight;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* in = a.x + row * hidden;
    const T* grad = a.dy + row * hidden;
    T* out = a.dx + row * hidden;
    const T scale = a.scales[row];
    T dot = 0;
#pragma omp simd reduction(+ : dot)
    for (std::int64_t i = 0; i < hidden; ++i) dot += grad[i] * weight[i] * in[i];
    const T shift = dot * scale * scale / static_cast<T>(hidden);
#pragma omp simd
    for (std::int64_t i = 0; i < hidden; ++i) out[i] = scale * (grad[i] * weight[i] - in[i] * shift);
    if (a.d_residual == nullptr) continue;
    // A loop of its own, or the compiler would contract product and sum, and the bits were others than those of a norm
    // whose addition stands elsewhere (full recompute).
    const T* other = a.d_residual + row * hidden;
#pragma omp simd
    for (std::int64_t i = 0; i < hidden; ++i) out[i] += other[i];
  }
}

CHORALE_SIMD void run_forward(const ForwardRows<float>& a, std::int64_t begin, std::int64_t end, std::int64_t hidden,
                              double epsilon) {
  forward_rows(a, begin, end, hidden, static_cast<float>(epsilon));
}
CHORALE_SIMD void run_forward(const ForwardRows<double>& a, std::int64_t begin, std::int64_t end, std::int64_t hidden,
                              double epsilon) {
  forward_rows(a, begin, end, hidden, epsilon);
}
CHORALE_SIMD void run_backward(const BackwardRows<float>& a, std::int64_t begin, std::int64_t end,
                               std::int64_t hidden) {
  backward_rows(a, begin, end, hidden);
}
CHORALE_SIMD void run_backward(const BackwardRows<double>& a, std::int64_t begin, std::int64_t end,
                               std::int64_t hidden) {
  backward_rows(a, begin, end, hidden);
}

template <typename T>
const T* data_or_none(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}

// On the CPU, with the addition before the norm when there is a `delta`: {y} or {y, residual}. Saves what was normed
// and one number per row.
class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                                                const std::optional<at::Tensor>& delta, const at::Tensor& weight,
                                                double epsilon) {
    const at::Tensor added = delta.value_or(at::Tensor());
    at::Tensor y = at::empty_like(x);
    at::Tensor scales = at::empty({x.size(0)}, x.options());
    at::Tensor residual = delta ? at::empty_like(x) : at::Tensor();
    x.scalar_type() == at::kFloat ? run<float>(x, added, weight, epsilon, residual, y, scales)
                                  : run<double>(x, added, weight, epsilon, residual, y, scales);
    context->set_materialize_grads(false);
    context->save_for_backward({delta ? residual : x, weight, scales});
    return delta ? torch::autograd::variable_list{y, residual} : torch::autograd::variable_list{y};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const bool added = gradients.size() == 2;
    const at::Tensor beside = added && gradients[1].defined() ? gradients[1].contiguous() : at::Tensor();
    at::Tensor dx = beside;
    if (gradients[0].defined()) {
      const at::Tensor dy = gradients[0].contiguous();
      dx = at::empty_like(saved[0]);
      dx.scalar_type() == at::kFloat ? run<float>(saved, dy, beside, dx) : run<double>(saved, dy, beside, dx);
    }
    return {dx, added ? dx : at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  template <typename T>
  static void run(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double epsilon,
                  at::Tensor& residual, at::Tensor& y, at::Tensor& scales) {
    ForwardRows<T> a;
    a.x = x.const_data_ptr<T>();
    a.delta = data_or_none<T>(delta);
    a.weight = weight.const_data_ptr<T>();
    if (residual.defined()) a.residual = residual.mutable_data_ptr<T>();
    a.y = y.mutable_data_ptr<T>();
    a.scales = scales.mutable_data_ptr<T>();
    for_rows(x.size(0), x.size(1),
             [&](std::int64_t begin, std::int64_t end) { run_forward(a, begin, end, x.size(1), epsilon); });
  }

  template <typename T>
  static void run(const torch::autograd::variable_list& saved, const at::Tensor& dy, const at::Tensor& beside,
                  at::Tensor& dx) {
    BackwardRows<T> a;
    a.x = saved[0].const_data_ptr<T>();
    a.weight = saved[1].const_data_ptr<T>();
    a.scales = saved[2].const_data_ptr<T>();
    a.dy = dy.const_data_ptr<T>();
    a.d_residual = data_or_none<T>(beside);
    a.dx = dx.mutable_data_ptr<T>();
    for_rows(dx.size(0), dx.size(1),
             [&](std::int64_t begin, std::int64_t end) { run_backward(a, begin, end, dx.size(1)); });
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

bool on_cpu(const at::Tensor& x, at::ScalarType out) {
  return x.is_cpu() && x.scalar_type() == out && (out == at::kFloat || out == at::kDouble);
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType out) {
  if (on_device(x, out)) return DeviceRmsNorm::apply(x.contiguous(), std::nullopt, weight, epsilon, out)[0];
  return on_cpu(x, out) ? RmsNorm::apply(x.contiguous(), std::nullopt, weight, epsilon)[0]
                        : rms_norm_plain(x, weight, epsilon, out);
}

ResidualNorm add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double epsilon,
                          at::ScalarType out) {
  if (on_device(x, out) && delta.scalar_type() == out) {
    const auto both =
        DeviceRmsNorm::apply(x.contiguous(), std::optional<at::Tensor>(delta.contiguous()), weight, epsilon, out);
    return {both[1], both[0]};
  }
  if (on_cpu(x, out) && delta.scalar_type() == out) {
    const auto both = RmsNorm::apply(x.contiguous(), std::optional<at::Tensor>(delta.contiguous()), weight, epsilon);
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
