// Where each file of kernels adds its own to a set: compiled by nvcc, or the same source compiled for the CPU in tests.
#pragma once

#include "core/kernels/cuda/launch.hpp"

namespace chorale {

namespace cuda {
void add_rms_norm(device::Kernels& kernels);
void add_elementwise(device::Kernels& kernels);
void add_low_rank(device::Kernels& kernels);
void add_output_head(device::Kernels& kernels);
void add_adamw(device::Kernels& kernels);
}  // namespace cuda

namespace emulated {
void add_rms_norm(device::Kernels& kernels);
void add_elementwise(device::Kernels& kernels);
void add_low_rank(device::Kernels& kernels);
void add_output_head(device::Kernels& kernels);
void add_adamw(device::Kernels& kernels);
}  // namespace emulated

}  // namespace chorale
