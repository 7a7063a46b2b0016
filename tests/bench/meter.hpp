// Clocks, memory and the device's limits.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string_view>
#include <vector>

namespace chorale::bench {

[[nodiscard]] double milliseconds();
/// CPU time of this process, all threads: what other programs on the machine hardly inflate.
[[nodiscard]] double cpu_milliseconds();
[[nodiscard]] double median(std::vector<double> values);

/// Returns when the device has done everything asked of it.
void wait_for(c10::Device device);

/// Starts counting the peak anew: memory of this process on a CPU, allocated memory on a GPU.
void forget_peak_memory(c10::Device device);
[[nodiscard]] double peak_gigabytes(c10::Device device);

/// Milliseconds of one call: the fastest of several, after a warm-up, on the given device. On one CPU thread CPU time
/// is counted, so that other programs disturb less.
[[nodiscard]] double fastest(c10::Device device, const std::function<void()>& call, int repeats = 7);

/// What shares of a device's speed are of.
struct Peak {
  double operations = 0.0;  // per second, floating point
  std::string_view source;  // of the figure, for people
};

/// What a frozen product in `type` reaches, through the path the models take and at a size that suits the device.
[[nodiscard]] Peak measured_peak(c10::Device device, at::ScalarType type);

/// Bytes per second moved by a copy of tensors of `bytes`: read and written bytes counted.
[[nodiscard]] double copy_bandwidth(c10::Device device, double bytes);

}  // namespace chorale::bench
