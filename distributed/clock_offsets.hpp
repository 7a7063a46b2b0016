// How far the clocks of the ranks' hosts are apart.
#pragma once

#include <vector>

#include "distributed/world.hpp"

namespace chorale {

/// A rank's wall clock minus rank 0's, in seconds, known to within `error` either way.
struct ClockOffset {
  double seconds = 0.0;
  double error = 0.0;
};

/// By rank, on rank 0; nothing elsewhere. Rank 0 asks each rank for the time several times and keeps the answer that
/// came back soonest: it was given somewhere between question and answer, so that half the way there and back bounds
/// the error (Cristian, Probabilistic clock synchronization, 1989). Collective. A rank that does not answer is an
/// MpiError after a minute.
[[nodiscard]] std::vector<ClockOffset> clock_offsets(World& world);

}  // namespace chorale
