#include "distributed/group_communicator.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>

#include "core/base/errors.hpp"
#include "distributed/backend.hpp"
#include "distributed/gpu_identity.hpp"
#ifdef CHORALE_WITH_CUDA
#include <cuda_runtime_api.h>

#include "distributed/nccl_communicator.hpp"
#endif

namespace chorale {
namespace {

#ifdef CHORALE_WITH_CUDA
constexpr bool kHasNccl = true;

// As nvidia-smi writes it.
std::string gpu_uuid(c10::Device device) {
  cudaDeviceProp properties{};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device.index()); error != cudaSuccess) {
    throw InternalError(
        fmt::format("cudaGetDeviceProperties failed for GPU {}: {}", device.index(), cudaGetErrorString(error)));
  }
  std::string text = "GPU-";
  for (std::size_t i = 0; i < sizeof properties.uuid.bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(properties.uuid.bytes[i]));
  }
  return text;
}

std::unique_ptr<Communicator> over_nccl(const World& world, std::unique_ptr<Communicator> host, c10::Device device) {
  return std::make_unique<NcclCommunicator>(std::move(host), device,
                                            fmt::format("rank {} on {}", world.rank(), world.host()));
}
#else
constexpr bool kHasNccl = false;

std::string gpu_uuid(c10::Device /*device*/) {
  throw InternalError("a GPU was chosen by a program without CUDA");
}

std::unique_ptr<Communicator> over_nccl(const World& /*world*/, std::unique_ptr<Communicator> /*host*/,
                                        c10::Device /*device*/) {
  throw InternalError("NCCL was chosen by a program without it");
}
#endif

// World rank of the first rank of `group`.
std::int64_t first_of(const World& world, Communicator& group) {
  const std::int64_t mine = world.rank();
  const std::vector<std::byte> bytes = group.all_gather(std::as_bytes(std::span(&mine, 1))).front();
  std::int64_t first = 0;
  CHORALE_ASSERT(bytes.size() == sizeof first, "every rank gives one number");
  std::memcpy(&first, bytes.data(), sizeof first);
  return first;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

GpuIdentity identify(const World& world, std::int64_t group, c10::Device device) {
  return {world.rank(), group, world.host(), device.is_cpu() ? "" : gpu_uuid(device), environment("NCCL_HOSTID")};
}

}  // namespace

std::unique_ptr<Communicator> make_group_communicator(World& world, std::unique_ptr<Communicator> host,
                                                      c10::Device device, const std::string& backend) {
  const std::int64_t group = first_of(world, *host);
  GpuIdentity own;
  world.together([&] { own = identify(world, group, device); });
  const std::string text = to_text(own);
  const std::vector<GpuIdentity> table = gpu_table(world.everyone().all_gather(std::as_bytes(std::span(text))));
  Backend chosen = Backend::mpi;
  world.together([&] {
    chosen = choose_backend(backend, table, group, kHasNccl);
    if (chosen == Backend::nccl) refuse_shared_gpus(table, group);
  });
  if (world.is_root()) {
    if (const std::string shared = describe_shared_gpus(table); !shared.empty()) spdlog::warn("{}", shared);
    if (chosen == Backend::nccl) spdlog::info("ranks of a group talk over NCCL {}", nccl_version());
  }
  std::unique_ptr<Communicator> result;
  // Together, so that a group whose communicator does not come about takes the others along.
  world.together(
      [&] { result = chosen == Backend::nccl ? over_nccl(world, std::move(host), device) : std::move(host); });
  return result;
}

std::string nccl_version() {
#ifdef CHORALE_WITH_CUDA
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "of unknown version";
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
#else
  return "";
#endif
}

}  // namespace chorale
