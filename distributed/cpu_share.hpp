// Which cores this process may use, and which other ranks of its host use them too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "distributed/world.hpp"

namespace chorale {

struct CpuShare {
  std::vector<int> cores;         // Linux's numbers of the cores this process may run on, ascending
  std::vector<int> shared_cores;  // those of all ranks of this host whose cores overlap this rank's, itself included
  std::int64_t sharing = 1;       // how many ranks these are
};

/// Collective over the world.
[[nodiscard]] CpuShare cpu_share(World& world);

/// "0-3,8" for cores 0, 1, 2, 3 and 8.
[[nodiscard]] std::string core_list(const std::vector<int>& cores);

}  // namespace chorale
