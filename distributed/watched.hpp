// Inside this folder: every collective says that it is entered and left, so that the watchdog (watchdog.hpp) can tell
// who waits for whom.
#pragma once

#include "distributed/watch_board.hpp"

namespace chorale::watch {

/// Where this process shows what it does: its slot of the node's board, or one of its own before there is a board.
[[nodiscard]] WatchSlot& own_slot() noexcept;
/// Null: the one of its own again.
void use_slot(WatchSlot* slot) noexcept;

/// This process enters a collective, which is counted, and works by itself again.
void enter(Collective collective, Circle circle) noexcept;
void leave() noexcept;

/// A collective as long as it lasts.
class Inside {
 public:
  Inside(Collective collective, Circle circle) noexcept { enter(collective, circle); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() { leave(); }
};

/// True once this process's watchdog has given up; whoever waits by asking then ends the world by MPI's own means.
[[nodiscard]] bool given_up() noexcept;
void give_up() noexcept;

/// How the world is ended by its own means, and the call to do so: nothing happens before somebody has said how.
void use_end(void (*end)()) noexcept;
void end_world() noexcept;

}  // namespace chorale::watch
