// Which device computes.
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace chorale {

/// Turns "cpu", "cuda" or "auto" (a GPU when there is one) into a device. The CUDA libraries are loaded here, and only
/// when the machine has a GPU driver: a run on the CPU pays neither their start-up time nor their memory. Throws
/// UsageError when "cuda" is asked for and no GPU can be used, saying why.
[[nodiscard]] c10::Device choose_device(const std::string& name);

/// One sentence about what choose_device("auto") would find, for people.
[[nodiscard]] std::string describe_devices();

/// Sets torch's thread counts: `threads` inside an operation (0: one per available core, or OMP_NUM_THREADS) and one
/// between operations. Call once, before any tensor operation. Returns the number of threads in force.
int start_threads(int threads);

}  // namespace chorale
