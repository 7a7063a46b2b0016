// Who waits for whom, from what the processes of a node show.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "distributed/watchdog.hpp"

namespace chorale {
namespace {

// Long enough that a machine with much to do is not taken for one that stands still.
constexpr double kStandsStill = 3.0;
// Time for the other nodes, which may know more.
constexpr double kOtherNodes = 5.0;

bool waits(const WatchSlot& slot) {
  return slot.collective.load() != static_cast<int>(Collective::none);
}

// True when `slot` belongs to the collective that `own` is in and has not come to it.
bool is_late(const WatchSlot& slot, const WatchSlot& own) {
  if (slot.rank.load() < 0) return false;
  if (own.circle.load() == static_cast<int>(Circle::world)) return slot.world_entered.load() < own.world_entered.load();
  return slot.group.load() == own.group.load() && slot.group_entered.load() < own.group_entered.load();
}

double last_sign_of(const WatchSlot& slot) {
  return std::max(slot.beaten.load(), slot.since.load());
}

std::string described(const WatchSlot& slot, double now, const std::string& host) {
  const std::string who = fmt::format("rank {} on {} (step {}", slot.rank.load(), host, slot.step.load());
  if (const double still = now - slot.looked.load(); still > kStandsStill) {
    return fmt::format("{}; its process has stood still for {:.0f} s: stopped, or out of memory or processor)", who,
                       still);
  }
  if (waits(slot)) {
    return fmt::format("{}; waits itself, in {})", who, name_of(static_cast<Collective>(slot.collective.load())));
  }
  return fmt::format("{}; works, but has got nothing done for {:.0f} s)", who, now - last_sign_of(slot));
}

}  // namespace

std::string watchdog_verdict(std::span<const WatchSlot> slots, std::size_t own, double since, double now, double limit,
                             const Watchdog::Place& place) {
  const WatchSlot& self = slots[own];
  std::vector<const WatchSlot*> late;
  for (const WatchSlot& slot : slots) {
    if (&slot != &self && is_late(slot, self)) late.push_back(&slot);
  }
  // As long as one of them gets something done, it is waited for with reason.
  double quiet_since = since;
  for (const WatchSlot* slot : late) quiet_since = std::max(quiet_since, last_sign_of(*slot));
  const bool are_elsewhere = late.empty() && static_cast<std::int64_t>(slots.size()) < place.world_size;
  if (now - quiet_since <= limit + (are_elsewhere ? kOtherNodes : 0.0)) return "";
  // Those that wait are held up by the others, if there are others.
  const auto first_waiting =
      std::stable_partition(late.begin(), late.end(), [](const auto* slot) { return !waits(*slot); });
  if (first_waiting != late.begin()) late.erase(first_waiting, late.end());
  std::vector<std::string> names;
  for (const WatchSlot* slot : late) names.push_back(described(*slot, now, place.host));
  const std::string whom =
      !names.empty() ? fmt::format("for {}", fmt::join(names, ", "))
      : are_elsewhere
          ? std::string("for ranks of other hosts; none of this host is late")
          : std::string("though all ranks of this host have come to it: the network between them does not deliver");
  return fmt::format(
      "rank {} on {} has waited {:.0f} s in {} after step {} {}. Look after that host, then start the same command "
      "with "
      "--resume. distributed.watchdog_seconds is how long ranks wait for each other.",
      self.rank.load(), place.host, now - since, name_of(static_cast<Collective>(self.collective.load())),
      self.step.load(), whom);
}

}  // namespace chorale
