#include "core/kernels/device_kernels.hpp"

#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/base/errors.hpp"
#include "core/kernels/cuda/kernels.hpp"

namespace chorale {
namespace {

const device::Kernels* for_cpu = nullptr;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): for tests

const device::Kernels* for_cuda() {
#ifdef CHORALE_CUDA_KERNELS
  static const device::Kernels all = [] {
    device::Kernels set;
    cuda::add_rms_norm(set);
    cuda::add_elementwise(set);
    cuda::add_low_rank(set);
    cuda::add_output_head(set);
    cuda::add_adamw(set);
    return set;
  }();
  return &all;
#else
  return nullptr;
#endif
}

}  // namespace

DeviceKernels::DeviceKernels(c10::Device device)
    : device_(device), kernels_(device.is_cuda() ? for_cuda() : (device.is_cpu() ? for_cpu : nullptr)) {}

void DeviceKernels::set_for_cpu(const device::Kernels* kernels) {
  for_cpu = kernels;
}

DeviceKernels::Launch::Launch(c10::Device on) : device(on), before(on) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  before = guard.exchangeDevice(device);
  stream = guard.getStreamNativeHandle(guard.getStream(device));
}

DeviceKernels::Launch::~Launch() {
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).uncheckedSetDevice(before);
}

void DeviceKernels::Launch::check(device::Error error) const {
  if (error != nullptr) {
    throw InternalError("internal error: a kernel could not be started on " + device.str() + ": " + error);
  }
}

}  // namespace chorale
