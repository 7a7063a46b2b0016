// Which GPU each rank computes on, and which ranks share one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace chorale {

/// What one rank tells the others about where it computes.
struct GpuIdentity {
  std::int64_t rank = 0;   // in the world
  std::int64_t group = 0;  // world rank of the first rank of its group
  std::string host;
  std::string gpu;        // the GPU's UUID; empty: it computes on the CPU
  std::string nccl_host;  // NCCL_HOSTID, which NCCL takes for the host's name; empty when not set

  bool operator==(const GpuIdentity&) const = default;
};

/// As bytes that ranks can exchange.
[[nodiscard]] std::string to_text(const GpuIdentity& identity);

/// The table of all ranks out of what each sent, by rank. InternalError naming the rank whose text is not to_text's, or
/// that gives another number or a group that has not begun.
[[nodiscard]] std::vector<GpuIdentity> gpu_table(const std::vector<std::vector<std::byte>>& texts);

/// The groups of the table, by their first ranks.
[[nodiscard]] std::vector<std::int64_t> groups_of(std::span<const GpuIdentity> table);

/// UsageError naming host, GPU, ranks and remedies when two ranks of group `group` compute on one GPU: NCCL would
/// refuse them, or wait for ever. Ranks whose NCCL_HOSTID differ are let through, as NCCL takes them for ranks of
/// different hosts (slow, for tests on a machine with one GPU).
void refuse_shared_gpus(std::span<const GpuIdentity> table, std::int64_t group);

/// One sentence about GPUs that several ranks compute on, for a warning; empty when every rank has its own.
[[nodiscard]] std::string describe_shared_gpus(std::span<const GpuIdentity> table);

}  // namespace chorale
