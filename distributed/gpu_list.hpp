// The GPUs this process can see.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace chorale {

struct GpuFacts {
  std::string name;  // as the driver gives it
  std::string uuid;  // as nvidia-smi writes it
  std::uint64_t memory_bytes = 0;
};

/// By their numbers. Empty without a driver, without a GPU, and in a program without CUDA.
[[nodiscard]] std::vector<GpuFacts> list_gpus();

/// The UUID of GPU `index`. InternalError when it cannot be asked.
[[nodiscard]] std::string gpu_uuid(int index);

}  // namespace chorale
