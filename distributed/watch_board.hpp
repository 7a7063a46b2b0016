// Inside this folder: what the processes of a node show each other about themselves, in memory they share. Neither MPI
// nor a system call is needed to look at it.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace chorale {

/// What a process may be waiting for the others in.
enum class Collective : int { none, agreement, broadcast, gathering, sum, split, reduction, end };

/// "the agreement on an outcome"; of none, "".
[[nodiscard]] std::string_view name_of(Collective collective);

/// Whose collective it is.
enum class Circle : int { world, group };

/// One process. Times are those of the node's own clock (watch_now). Written by the process alone, read by all: single
/// values may be a moment apart from each other, which a watchdog that waits for seconds does not mind.
struct WatchSlot {
  std::atomic<std::int64_t> rank{-1};
  std::atomic<std::int64_t> group{-1};
  std::atomic<std::int64_t> step{0};
  std::atomic<std::uint64_t> world_entered{0};  // collectives of the world, the current one included
  std::atomic<std::uint64_t> group_entered{0};  // likewise of its group
  std::atomic<int> collective{0};               // the current one, or none while it works by itself
  std::atomic<int> circle{0};
  std::atomic<double> since{0.0};   // when it entered or left it
  std::atomic<double> beaten{0.0};  // when it last got something done (core/base/heartbeat.hpp)
  std::atomic<double> looked{0.0};  // when its watchdog was last awake; an old time is that of a stopped process
  std::atomic<int> signal{0};       // that asked it to stop
};
static_assert(std::atomic<double>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free,
              "the slots are shared by processes");

/// Seconds of a clock that all processes of a machine share and that never runs backwards.
[[nodiscard]] double watch_now();

/// The slots of a node's processes.
class WatchBoard {
 public:
  /// A board for this process alone: the others cannot be seen.
  WatchBoard();
  /// Makes a new piece of shared memory for `processes` and gives its name; "" when that cannot be. On one process of
  /// the node.
  [[nodiscard]] static std::string create(std::size_t processes);
  /// Maps the piece called `name`, on every process of the node; a board for this process alone when that cannot be.
  WatchBoard(const std::string& name, std::size_t processes);
  /// Takes the name away; what is mapped stays until the last process ends, however it ends.
  static void forget(const std::string& name);
  WatchBoard(const WatchBoard&) = delete;
  WatchBoard& operator=(const WatchBoard&) = delete;
  ~WatchBoard();

  [[nodiscard]] std::span<WatchSlot> slots() const { return slots_; }
  /// True for exactly one process of the node: the one that speaks when several have noticed the same.
  [[nodiscard]] bool claim_the_word();

 private:
  void map_privately();
  void take(void* memory, std::size_t processes);

  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::atomic<int>* spoken_ = nullptr;
  std::span<WatchSlot> slots_;
};

}  // namespace chorale
