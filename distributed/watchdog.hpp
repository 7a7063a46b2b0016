// A thread per process that notices when the others do not come.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <thread>

#include "distributed/learnt_limit.hpp"
#include "distributed/watch_board.hpp"

namespace chorale {

/// Looks a few times a second at what this process and the others of its node show of themselves (watch_board.hpp), and
/// calls neither MPI nor NCCL. When this process has waited in a collective for longer than the limit, and nothing has
/// been heard meanwhile of those that have not come to it, one process of the node says who waits for whom, and this
/// process ends with exit code 70, on which the launcher ends all others. It also carries a signal that asked one
/// process of the node to stop to the others (core/base/interruption.hpp).
class Watchdog {
 public:
  /// What to do with the message; called at most once, from the watchdog's thread.
  using Say = std::function<void(const std::string&)>;

  struct Place {
    std::int64_t rank = 0;
    std::int64_t node_rank = 0;  // this process's slot
    std::int64_t world_size = 1;
    std::string host;
  };
  Watchdog(std::unique_ptr<WatchBoard> board, Place place, double limit_seconds, Say say);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  void set_limit(double seconds) { limit_.store(seconds); }

 private:
  void run(const std::stop_token& stop);
  void look(double now);
  void learn(double now);
  void judge(double now);
  void end(const std::string& message);

  std::unique_ptr<WatchBoard> board_;
  Place place_;
  std::atomic<double> limit_;
  Say say_;
  LearntLimit learnt_;
  double awake_since_;  // a process that was stopped itself counts from when it went on
  double last_look_;
  std::uint64_t beats_ = 0;          // as last seen
  std::int64_t step_ = 0;            // likewise
  std::uint64_t group_entered_ = 0;  // likewise
  double open_for_ = 0.0;            // how long this process had waited in its group then
  double longest_ = 0.0;             // wait in the group that is over, since the last step
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: it uses all others
};

/// What the watchdog of slot `own` would say after having waited since `since` until `now` with `limit`, or "" when
/// there is no reason to worry. Pure, for tests. `world_size`: more than there are slots when there are other nodes.
[[nodiscard]] std::string watchdog_verdict(std::span<const WatchSlot> slots, std::size_t own, double since, double now,
                                           double limit, const Watchdog::Place& place);

}  // namespace chorale
