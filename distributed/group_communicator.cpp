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
#include "distributed/gpu_list.hpp"
#ifdef CHORALE_WITH_CUDA
#include "distributed/nccl_communicator.hpp"
#endif

namespace chorale {
namespace {

constexpr std::int64_t kGroupsAtOnce = 64;  // that start NCCL communicators

#ifdef CHORALE_WITH_CUDA
constexpr bool kHasNccl = true;

std::unique_ptr<Communicator> over_nccl(const World& world, std::unique_ptr<Communicator> host, c10::Device device) {
  return std::make_unique<NcclCommunicator>(std::move(host), device,
                                            fmt::format("rank {} on {}", world.rank(), world.host()));
}
#else
constexpr bool kHasNccl = false;

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
  return {world.rank(), group, world.host(), device.is_cpu() ? "" : gpu_uuid(device.index()),
          environment("NCCL_HOSTID")};
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
  // Some groups after others, in the same order on all ranks: each start opens sockets between all hosts of its group.
  // Together, so that a group whose communicator does not come about takes the others along.
  const std::vector<std::int64_t> groups = groups_of(table);
  const auto position = std::lower_bound(groups.begin(), groups.end(), group) - groups.begin();
  for (std::int64_t first = 0; first < std::ssize(groups); first += kGroupsAtOnce) {
    world.together([&] {
      if (position / kGroupsAtOnce != first / kGroupsAtOnce) return;
      result = chosen == Backend::nccl ? over_nccl(world, std::move(host), device) : std::move(host);
    });
  }
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
