// Whether the ranks of a group talk over MPI or NCCL: a pure function of the recipe's wish and what the ranks are.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "distributed/gpu_identity.hpp"

namespace chorale {

enum class Backend { mpi, nccl };

/// `wish`: distributed.backend (auto, mpi or nccl). auto: NCCL for a group of several ranks that all compute on GPUs,
/// if `has_nccl` (this program was built with it), else MPI, through copies in host memory. UsageError when nccl is
/// asked for and the program has none, or any rank of the world computes on the CPU. Gives every rank of a group the
/// same.
[[nodiscard]] Backend choose_backend(const std::string& wish, std::span<const GpuIdentity> table, std::int64_t group,
                                     bool has_nccl);

}  // namespace chorale
