// What the ranks of a plan compute on: its memory, and how fast it can be at the very best.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "launch/recipe/recipe.hpp"

namespace chorale {

/// Speeds are upper limits, so that times computed from them are lower ones; 0: unknown.
struct PlanDevice {
  std::string name;                       // cpu, h100, 24GiB, ...
  std::string words;                      // for people, e.g. "an H100 (SXM5, 80 GB) for each rank"
  bool is_cpu = false;                    // all ranks of a machine share memory_bytes; otherwise each has as much
  std::uint64_t memory_bytes = 0;         // 0: unknown
  double flops_per_second = 0.0;          // of one rank
  std::string flops_source;               // for people
  double node_bytes_per_second = 0.0;     // out of one rank, to ranks of its node
  double network_bytes_per_second = 0.0;  // likewise to other nodes
  std::string bytes_source;               // for people
};

/// What a user may say besides, on the command line.
struct PlanSpeeds {
  std::optional<double> teraflops;  // per second and rank
  std::optional<double> gigabytes;  // per second, out of a rank, wherever to
};

/// `wish`: cpu (this machine's processors), cuda (a GPU of unknown size, or this machine's), auto (cuda where there is
/// one), h100, h200, a100, or a number of bytes such as 24GiB. `ranks_on_node` ranks share a machine. UsageError naming
/// --device.
[[nodiscard]] PlanDevice plan_device(const std::string& wish, BaseDtype dtype, std::int64_t ranks_on_node,
                                     const PlanSpeeds& speeds);

}  // namespace chorale
