// Signs of life of this process, counted.
#pragma once

#include <atomic>
#include <cstdint>

namespace chorale {

namespace internal {
inline std::atomic<std::uint64_t> beats{0};
}

/// This process got something done: a batch, a chunk of a file, a step. Costs next to nothing. What waits for this
/// process then knows that it works (distributed/watchdog.hpp).
inline void beat() noexcept {
  internal::beats.fetch_add(1, std::memory_order_relaxed);
}

/// How often.
[[nodiscard]] inline std::uint64_t beats() noexcept {
  return internal::beats.load(std::memory_order_relaxed);
}

}  // namespace chorale
