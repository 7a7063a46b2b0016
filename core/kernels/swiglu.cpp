#include "core/kernels/swiglu.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/device_kernels.hpp"
#include "core/kernels/parallel.hpp"
#include "core/kernels/simd.hpp"
#include "core/kernels/small_product.hpp"

namespace chorale {
namespace {

template <typename T>
CHORALE_INLINE void forward_row(const T* gate, const T* up, T* y, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = gate[i] / (T(1) + simd::exponential(-gate[i])) * up[i];
}

template <typename T>
CHORALE_INLINE void forward_rows(const T* gate_up, T* y, std::int64_t rows, std::int64_t width) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const T* gate = gate_up + row * 2 * width;
    const T* up = gate + width;
    T* out = y + row * width;
    std::int64_t i = 0;
    for (; i + kPanel<T> <= width; i += kPanel<T>) {
      __builtin_prefetch(gate + 2 * width + i);
      __builtin_prefetch(up + 2 * width + i);
      forward_row(gate + i, up + i, out + i, kPanel<T>);
    }
    forward_row(gate + i, up + i, out + i, width - i);
  }
}

// d silu(g)/dg = s * (1 + g * (1 - s)) with s = sigmoid(g).
template <typename T>
CHORALE_INLINE void backward_row(const T* gate, const T* up, const T* dy, T* gate_gradient, T* up_gradient,
                                 std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const T s = T(1) / (T(1) + simd::exponential(-gate[i]));
    const T silu = gate[i] * s;
    gate_gradient[i] = dy[i] * up[i] * (s + silu * (T(1) - s));
    up_gradient[i] = dy[i] * silu;
  }
}

// gate_up comes from the memory, where the forward pass left it long ago: each row is fetched while the one before it
// is worked on.
template <typename T>
CHORALE_INLINE void backward_rows(const T* gate_up, const T* dy, T* gradient, std::int64_t rows, std::int64_t width) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const T* gate = gate_up + row * 2 * width;
    const T* up = gate + width;
    const T* in = dy + row * width;
    T* gate_gradient = gradient + row * 2 * width;
    T* up_gradient = gate_gradient + width;
    std::int64_t i = 0;
    for (; i + kPanel<T> <= width; i += kPanel<T>) {
      __builtin_prefetch(gate + 2 * width + i);
      __builtin_prefetch(up + 2 * width + i);
      backward_row(gate + i, up + i, in + i, gate_gradient + i, up_gradient + i, kPanel<T>);
    }
    backward_row(gate + i, up + i, in + i, gate_gradient + i, up_gradient + i, width - i);
  }
}

CHORALE_SIMD void forward_f32(const float* x, float* y, std::int64_t rows, std::int64_t width) {
  forward_rows(x, y, rows, width);
}
CHORALE_SIMD void forward_f64(const double* x, double* y, std::int64_t rows, std::int64_t width) {
  forward_rows(x, y, rows, width);
}
CHORALE_SIMD void backward_f32(const float* x, const float* dy, float* dx, std::int64_t rows, std::int64_t width) {
  backward_rows(x, dy, dx, rows, width);
}
CHORALE_SIMD void backward_f64(const double* x, const double* dy, double* dx, std::int64_t rows, std::int64_t width) {
  backward_rows(x, dy, dx, rows, width);
}

// In place, where that is allowed, less memory is taken and less goes through the caches.
at::Tensor room_for_gradient(torch::autograd::AutogradContext& context, const at::Tensor& gate_up) {
  return context.saved_data["may_overwrite"].toBool() ? gate_up.detach() : at::empty_like(gate_up);
}

class SwiGlu : public torch::autograd::Function<SwiGlu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate_up, bool may_overwrite) {
    const std::int64_t rows = gate_up.size(0);
    const std::int64_t width = gate_up.size(1) / 2;
    at::Tensor y = at::empty({rows, width}, gate_up.options());
    for_rows(rows, 2 * width, [&](std::int64_t begin, std::int64_t end) {
      if (gate_up.scalar_type() == at::kFloat) {
        forward_f32(gate_up.const_data_ptr<float>() + begin * 2 * width, y.mutable_data_ptr<float>() + begin * width,
                    end - begin, width);
      } else {
        forward_f64(gate_up.const_data_ptr<double>() + begin * 2 * width, y.mutable_data_ptr<double>() + begin * width,
                    end - begin, width);
      }
    });
    context->save_for_backward({gate_up});
    context->saved_data["may_overwrite"] = may_overwrite;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const at::Tensor gate_up = context->get_saved_variables()[0];
    const at::Tensor dy = gradients[0].contiguous();
    const std::int64_t rows = gate_up.size(0);
    const std::int64_t width = gate_up.size(1) / 2;
    at::Tensor dx = room_for_gradient(*context, gate_up);
    for_rows(rows, 3 * width, [&](std::int64_t begin, std::int64_t end) {
      if (gate_up.scalar_type() == at::kFloat) {
        backward_f32(gate_up.const_data_ptr<float>() + begin * 2 * width, dy.const_data_ptr<float>() + begin * width,
                     dx.mutable_data_ptr<float>() + begin * 2 * width, end - begin, width);
      } else {
        backward_f64(gate_up.const_data_ptr<double>() + begin * 2 * width, dy.const_data_ptr<double>() + begin * width,
                     dx.mutable_data_ptr<double>() + begin * 2 * width, end - begin, width);
      }
    });
    return {dx, at::Tensor()};
  }
};

device::SwiGlu arguments_of(const at::Tensor& gate_up) {
  device::SwiGlu a;
  a.type = kernel_type(gate_up.scalar_type());
  a.rows = gate_up.size(0);
  a.width = gate_up.size(1) / 2;
  a.gate_up = gate_up.const_data_ptr();
  return a;
}

class DeviceSwiGlu : public torch::autograd::Function<DeviceSwiGlu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate_up, bool may_overwrite) {
    device::SwiGlu a = arguments_of(gate_up);
    at::Tensor y = at::empty({a.rows, a.width}, gate_up.options());
    a.y = y.mutable_data_ptr();
    DeviceKernels(gate_up).run(&device::Kernels::swiglu_forward, a);
    context->save_for_backward({gate_up});
    context->saved_data["may_overwrite"] = may_overwrite;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const at::Tensor gate_up = context->get_saved_variables()[0];
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx = room_for_gradient(*context, gate_up);
    device::SwiGlu a = arguments_of(gate_up);
    a.dy = dy.const_data_ptr();
    a.d_gate_up = dx.mutable_data_ptr();
    DeviceKernels(gate_up).run(&device::Kernels::swiglu_backward, a);
    return {dx, at::Tensor()};
  }
};

bool on_device(const at::Tensor& gate_up) {
  return is_kernel_type(gate_up.scalar_type()) && DeviceKernels(gate_up);
}

}  // namespace

at::Tensor swiglu(const at::Tensor& gate_up, bool may_overwrite) {
  if (on_device(gate_up)) return DeviceSwiGlu::apply(gate_up.contiguous(), may_overwrite);
  const bool fused = gate_up.is_cpu() && (gate_up.scalar_type() == at::kFloat || gate_up.scalar_type() == at::kDouble);
  return fused ? SwiGlu::apply(gate_up.contiguous(), may_overwrite) : swiglu_plain(gate_up);
}

at::Tensor swiglu_plain(const at::Tensor& gate_up) {
  const std::int64_t width = gate_up.size(-1) / 2;
  return at::silu(gate_up.narrow(-1, 0, width)) * gate_up.narrow(-1, width, width);
}

}  // namespace chorale
