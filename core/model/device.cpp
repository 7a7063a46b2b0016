#include "core/model/device.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

// Empty when a GPU can be used, otherwise why not.
std::string why_no_gpu() {
#ifdef CHORALE_TORCH_CUDA_LIBRARY
  if (!std::filesystem::exists("/dev/nvidiactl")) return "this machine has no NVIDIA driver";
  if (dlopen(CHORALE_TORCH_CUDA_LIBRARY, RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* reason = dlerror();
    return fmt::format("torch's CUDA library cannot be loaded: {}", reason == nullptr ? "no reason given" : reason);
  }
  return at::hasCUDA() ? "" : "the driver reports no usable GPU";
#else
  return "this program was built without CUDA";
#endif
}

}  // namespace

c10::Device choose_device(const std::string& name, std::int64_t position) {
  if (name == "cpu") return c10::kCPU;
  const std::string reason = why_no_gpu();
  if (reason.empty()) {
    const std::int64_t devices = std::max<std::int64_t>(1, at::detail::getCUDAHooks().deviceCount());
    const c10::Device device(c10::kCUDA, static_cast<c10::DeviceIndex>(position % devices));
    // What is not asked about a tensor (streams, graphs, pinned memory) belongs to the current device.
    c10::impl::getDeviceGuardImpl(c10::kCUDA)->setDevice(device);
    return device;
  }
  if (name == "cuda")
    throw UsageError(fmt::format("base.device: cuda was asked for, but {}. Use auto or cpu.", reason));
  return c10::kCPU;
}

std::uint64_t gpu_memory(c10::Device device) {
  at::globalContext().lazyInitDevice(device.type());
  try {
    return c10::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).second;
  } catch (const c10::Error&) {
    return 0;
  }
}

std::int64_t sharers_of_gpu(std::int64_t position, std::int64_t processes) {
  const std::int64_t devices = std::max<std::int64_t>(1, at::detail::getCUDAHooks().deviceCount());
  const std::int64_t first = position % devices;
  return (processes - first + devices - 1) / devices;
}

std::string describe_devices() {
  const std::string reason = why_no_gpu();
  return reason.empty() ? "a GPU is available" : fmt::format("no GPU: {}", reason);
}

int start_threads(int threads, std::int64_t processes) {
  if (threads <= 0 && std::getenv("OMP_NUM_THREADS") == nullptr) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    const int online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    threads = std::max(1, online / static_cast<int>(std::max<std::int64_t>(1, processes)));
    if (sched_getaffinity(0, sizeof cores, &cores) == 0) threads = std::min(threads, CPU_COUNT(&cores));
  }
  if (threads > 0) at::set_num_threads(threads);
  at::set_num_interop_threads(1);
  return at::get_num_threads();
}

}  // namespace chorale
