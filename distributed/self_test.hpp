// Can every rank talk to every other, correctly, and how fast?
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "distributed/world.hpp"

namespace chorale {

/// A message from one rank to another and back.
struct PairTime {
  double microseconds = 0.0;  // one way, of 8 bytes
  double gigabytes_per_second = 0.0;
};

struct SelfTest {
  std::vector<std::vector<PairTime>> pairs;  // [from][to]; zeros from a rank to itself
  std::vector<std::string> faults;           // one sentence for everything that did not arrive as it was sent
};

/// Every ordered pair of ranks exchanges checked patterns, disjoint pairs at the same time; then sums, broadcasts and
/// gathers are compared with what they must give. Collective; the result is on rank 0. A message that never arrives is
/// an MpiError after 15 seconds.
[[nodiscard]] SelfTest self_test(World& world);

/// What MPI calls itself, in one line. Does not need MPI to be started.
[[nodiscard]] std::string mpi_library_version();

}  // namespace chorale
