#include "bench/meter.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <string>

#include "core/base/process_memory.hpp"
#include "core/kernels/frozen_linear.hpp"

namespace chorale::bench {

double milliseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

double cpu_milliseconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return 0.5 * (values[(n - 1) / 2] + values[n / 2]);
}

void wait_for(c10::Device device) {
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

void forget_peak_memory(c10::Device device) {
  if (!device.is_cpu()) {
    c10::getDeviceAllocator(device.type())->resetPeakStats(device.index());
    return;
  }
  malloc_trim(0);  // setting up is not what is measured
  std::ofstream("/proc/self/clear_refs") << "5";
}

double peak_gigabytes(c10::Device device) {
  if (!device.is_cpu()) {
    const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
    return static_cast<double>(stats.allocated_bytes[0].peak) * 1e-9;
  }
  return static_cast<double>(peak_process_memory()) * 1e-9;
}

double fastest(c10::Device device, const std::function<void()>& call, int repeats) {
  call();
  wait_for(device);
  double best = 0.0;
  const auto now = device.is_cpu() && at::get_num_threads() == 1 ? cpu_milliseconds : milliseconds;
  for (int i = 0; i < repeats; ++i) {
    const double begin = now();
    call();
    wait_for(device);
    const double ms = now() - begin;
    best = i == 0 ? ms : std::min(best, ms);
  }
  return best;
}

Peak measured_peak(c10::Device device, at::ScalarType type) {
  const at::NoGradGuard no_gradients;
  const std::int64_t size = device.is_cpu() ? 1024 : 8192;
  const auto options = at::TensorOptions().dtype(type).device(device);
  const FrozenLinear linear(at::randn({size, size}, options));
  const at::Tensor x = at::randn({size, size}, options);
  const double ms = fastest(
      device, [&] { static_cast<void>(linear.product(x)); }, 20);
  const auto edge = static_cast<double>(size);
  return {2.0 * edge * edge * edge / ms * 1e3, "the best product"};
}

double copy_bandwidth(c10::Device device, double bytes) {
  const at::Tensor from = at::zeros({static_cast<std::int64_t>(bytes / 8.0)}, at::TensorOptions().device(device));
  at::Tensor to = at::empty_like(from);
  const double ms = fastest(
      device, [&] { to.copy_(from); }, 15);
  return 2.0 * static_cast<double>(from.nbytes()) / ms * 1e3;
}

}  // namespace chorale::bench
