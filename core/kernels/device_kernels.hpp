// Our CUDA kernels seen from torch: which set works on a tensor, and how it is launched.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/cuda/launch.hpp"

namespace chorale {

/// The kernels for tensors on some device, on torch's current stream there. Converts to false where there are none: in
/// builds without nvcc, on the CPU.
class DeviceKernels {
 public:
  explicit DeviceKernels(const at::Tensor& tensor) : DeviceKernels(tensor.device()) {}
  explicit DeviceKernels(c10::Device device);

  explicit operator bool() const { return kernels_ != nullptr; }

  /// Launches one. Throws InternalError with CUDA's reason when that fails.
  template <typename Arguments>
  void run(device::Error (*device::Kernels::*kernel)(const Arguments&, device::Stream),
           const Arguments& arguments) const {
    const Launch launch(device_);
    launch.check((kernels_->*kernel)(arguments, launch.stream));
  }

  /// For tests: from now on tensors on the CPU meet these kernels; null: none, as at the start.
  static void set_for_cpu(const device::Kernels* kernels);

 private:
  // The device is the current one while this lives.
  struct Launch {
    explicit Launch(c10::Device device);
    Launch(const Launch&) = delete;
    Launch& operator=(const Launch&) = delete;
    ~Launch();
    void check(device::Error error) const;

    c10::Device device;
    c10::Device before;
    device::Stream stream = nullptr;
  };

  c10::Device device_;
  const device::Kernels* kernels_;
};

/// The types that kernels on activations know.
[[nodiscard]] inline bool is_kernel_type(at::ScalarType type) {
  return type == at::kFloat || type == at::kBFloat16;
}
[[nodiscard]] inline device::Type kernel_type(at::ScalarType type) {
  return type == at::kFloat ? device::Type::f32 : device::Type::bf16;
}

}  // namespace chorale
