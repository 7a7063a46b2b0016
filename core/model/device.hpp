// Which device computes.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

namespace chorale {

/// Turns "cpu", "cuda" or "auto" (a GPU when there is one) into a device. The CUDA libraries are loaded here, and only
/// when the machine has a GPU driver: a run on the CPU pays neither their start-up time nor their memory. Of several
/// GPUs process `position` of those on this machine takes its own, starting over when there are fewer. Throws
/// UsageError when "cuda" is asked for and no GPU can be used, saying why.
[[nodiscard]] c10::Device choose_device(const std::string& name, std::int64_t position = 0);

/// Bytes of memory a GPU has, whoever uses them; 0 when it does not tell. `device` is one that choose_device() gave.
[[nodiscard]] std::uint64_t gpu_memory(c10::Device device);

/// Of `processes` on a machine, those that choose_device() gives the GPU of process `position`: how many share it.
[[nodiscard]] std::int64_t sharers_of_gpu(std::int64_t position, std::int64_t processes);

/// One sentence about what choose_device("auto") would find, for people.
[[nodiscard]] std::string describe_devices();

/// Sets torch's thread counts: `threads` inside an operation and one between operations. 0: OMP_NUM_THREADS where that
/// is set, otherwise this process's part of the cores, when `processes` of a run share the machine, and never more than
/// it may run on. Call once, before any tensor operation. Returns the number of threads in force.
int start_threads(int threads, std::int64_t processes = 1);

}  // namespace chorale
