// Small host tensors on their way to a device, without waiting for it.
#pragma once

#include <ATen/core/Tensor.h>

namespace chorale {

/// `host` on `device`. To a GPU by way of pinned memory, which torch keeps until the copy is done: the copy is queued
/// behind the device's work and the host goes on.
[[nodiscard]] inline at::Tensor sent(const at::Tensor& host, c10::Device device) {
  return device.is_cuda() ? host.pin_memory().to(device, /*non_blocking=*/true) : host.to(device);
}

}  // namespace chorale
