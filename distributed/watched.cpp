#include "distributed/watched.hpp"

namespace chorale::watch {
namespace {

WatchSlot slot_of_its_own;
std::atomic<WatchSlot*> current{&slot_of_its_own};
std::atomic<bool> is_over{false};
std::atomic<void (*)()> how_to_end{nullptr};

}  // namespace

WatchSlot& own_slot() noexcept {
  return *current.load(std::memory_order_relaxed);
}

void use_slot(WatchSlot* slot) noexcept {
  current.store(slot == nullptr ? &slot_of_its_own : slot);
}

void enter(Collective collective, Circle circle) noexcept {
  WatchSlot& slot = own_slot();
  slot.since.store(watch_now());
  slot.circle.store(static_cast<int>(circle));
  (circle == Circle::world ? slot.world_entered : slot.group_entered).fetch_add(1);
  slot.collective.store(static_cast<int>(collective));  // last: now the rest holds
}

void leave() noexcept {
  WatchSlot& slot = own_slot();
  slot.collective.store(static_cast<int>(Collective::none));
  slot.since.store(watch_now());
}

bool given_up() noexcept {
  return is_over.load(std::memory_order_relaxed);
}

void give_up() noexcept {
  is_over.store(true);
}

void use_end(void (*end)()) noexcept {
  how_to_end.store(end);
}

void end_world() noexcept {
  if (void (*end)() = how_to_end.load(); end != nullptr) end();
}

}  // namespace chorale::watch
