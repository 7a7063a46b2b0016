#include "distributed/backend.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"

namespace chorale {
namespace {

void refuse_nccl_without_gpus(std::span<const GpuIdentity> table, bool has_nccl) {
  if (!has_nccl) {
    throw UsageError(
        "distributed.backend: nccl was asked for, but this program was built without CUDA and NCCL. Use auto or mpi, "
        "or "
        "build where a CUDA toolkit is installed.");
  }
  for (const GpuIdentity& identity : table) {
    if (!identity.gpu.empty()) continue;
    throw UsageError(fmt::format(
        "distributed.backend: nccl was asked for, but rank {} on {} computes on the CPU. Use auto or mpi, or "
        "give every rank a GPU (base.device: cuda says why one cannot be used).",
        identity.rank, printable(identity.host)));
  }
}

}  // namespace

Backend choose_backend(const std::string& wish, std::span<const GpuIdentity> table, std::int64_t group, bool has_nccl) {
  CHORALE_ASSERT(wish == "auto" || wish == "mpi" || wish == "nccl", "the backend " + printable(wish));
  if (wish == "nccl") refuse_nccl_without_gpus(table, has_nccl);
  if (wish == "mpi" || !has_nccl) return Backend::mpi;
  const auto is_ours = [&](const GpuIdentity& identity) { return identity.group == group; };
  const bool alone = std::count_if(table.begin(), table.end(), is_ours) < 2;
  const bool all_on_gpus = std::none_of(table.begin(), table.end(), [&](const GpuIdentity& identity) {
    return is_ours(identity) && identity.gpu.empty();
  });
  return !alone && all_on_gpus ? Backend::nccl : Backend::mpi;
}

}  // namespace chorale
