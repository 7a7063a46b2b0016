#include "distributed/gpu_list.hpp"

#include <fmt/format.h>

#include "core/base/errors.hpp"
#ifdef CHORALE_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace chorale {

#ifdef CHORALE_WITH_CUDA
namespace {

cudaDeviceProp properties_of(int index) {
  cudaDeviceProp properties{};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, index); error != cudaSuccess) {
    throw InternalError(fmt::format("cudaGetDeviceProperties failed for GPU {}: {}", index, cudaGetErrorString(error)));
  }
  return properties;
}

std::string uuid_of(const cudaDeviceProp& properties) {
  std::string text = "GPU-";
  for (std::size_t i = 0; i < sizeof properties.uuid.bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(properties.uuid.bytes[i]));
  }
  return text;
}

}  // namespace

std::vector<GpuFacts> list_gpus() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return {};
  std::vector<GpuFacts> gpus;
  for (int index = 0; index < count; ++index) {
    const cudaDeviceProp properties = properties_of(index);
    gpus.push_back({properties.name, uuid_of(properties), properties.totalGlobalMem});
  }
  return gpus;
}

std::string gpu_uuid(int index) {
  return uuid_of(properties_of(index));
}
#else
std::vector<GpuFacts> list_gpus() {
  return {};
}

std::string gpu_uuid(int /*index*/) {
  throw InternalError("a GPU was chosen by a program without CUDA");
}
#endif

}  // namespace chorale
