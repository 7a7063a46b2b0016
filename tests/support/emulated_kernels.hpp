// Puts the emulated CUDA kernels to work on CPU tensors for as long as it lives.
#pragma once

#include "core/kernels/cuda/kernels.hpp"
#include "core/kernels/device_kernels.hpp"

namespace chorale::test {

class EmulatedKernels {
 public:
  EmulatedKernels() {
    emulated::add_rms_norm(kernels_);
    emulated::add_elementwise(kernels_);
    emulated::add_low_rank(kernels_);
    emulated::add_output_head(kernels_);
    emulated::add_adamw(kernels_);
    DeviceKernels::set_for_cpu(&kernels_);
  }
  EmulatedKernels(const EmulatedKernels&) = delete;
  EmulatedKernels& operator=(const EmulatedKernels&) = delete;
  ~EmulatedKernels() { DeviceKernels::set_for_cpu(nullptr); }

 private:
  device::Kernels kernels_;
};

}  // namespace chorale::test
