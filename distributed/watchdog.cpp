#include "distributed/watchdog.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/heartbeat.hpp"
#include "core/base/interruption.hpp"
#include "distributed/blocked_signals.hpp"
#include "distributed/watched.hpp"

namespace chorale {
namespace {

constexpr auto kBetweenLooks = std::chrono::milliseconds(100);
constexpr double kStopped = 2.0;  // seconds between two looks after which this process must have been stopped itself
constexpr auto kForTheOthers = std::chrono::seconds(3);

}  // namespace

Watchdog::Watchdog(std::unique_ptr<WatchBoard> board, Place place, double limit_seconds, Say say)
    : board_(std::move(board)),
      place_(std::move(place)),
      limit_(limit_seconds),
      say_(std::move(say)),
      awake_since_(watch_now()),
      last_look_(awake_since_) {
  if (board_->slots().size() == 1) place_.node_rank = 0;
  WatchSlot& slot = board_->slots()[static_cast<std::size_t>(place_.node_rank)];
  slot.since.store(awake_since_);
  slot.beaten.store(awake_since_);
  slot.looked.store(awake_since_);
  slot.rank.store(place_.rank);
  watch::use_slot(&slot);
  const BlockedSignals blocked;  // a thread inherits them
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Watchdog::~Watchdog() {
  thread_.request_stop();
  wake_.notify_all();
  thread_.join();
  watch::use_slot(nullptr);
}

void Watchdog::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, stop, kBetweenLooks, [] { return false; }) && !stop.stop_requested()) look(watch_now());
}

void Watchdog::look(double now) {
  WatchSlot& self = watch::own_slot();
  if (now - last_look_ > kStopped) awake_since_ = now;
  last_look_ = now;
  self.looked.store(now);
  if (const std::uint64_t beats_now = beats(); beats_now != beats_) {
    beats_ = beats_now;
    self.beaten.store(now);
  }
  if (const int signal = interruption(); signal != 0) self.signal.store(signal);
  for (const WatchSlot& slot : board_->slots()) {
    if (const int signal = slot.signal.load(); signal != 0) pass_on_interruption(signal);
  }
  judge(now);
}

// Of the waits inside steps, those that are over.
void Watchdog::learn(double now) {
  const WatchSlot& self = watch::own_slot();
  if (const std::uint64_t entered = self.group_entered.load(); entered != group_entered_) {
    longest_ = std::max(longest_, open_for_);
    open_for_ = 0.0;
    group_entered_ = entered;
  }
  if (self.collective.load() == static_cast<int>(Collective::sum)) open_for_ = now - self.since.load();
  if (const std::int64_t step = self.step.load(); step != step_) {
    learnt_.saw(longest_);
    longest_ = 0.0;
    step_ = step;
  }
}

void Watchdog::judge(double now) {
  const WatchSlot& self = watch::own_slot();
  learn(now);
  const auto collective = static_cast<Collective>(self.collective.load());
  if (collective == Collective::none) return;
  const bool in_step = collective == Collective::sum && self.circle.load() == static_cast<int>(Circle::group);
  const double limit = in_step ? learnt_.of(limit_.load()) : limit_.load();
  const double since = std::max(self.since.load(), awake_since_);
  const auto own = static_cast<std::size_t>(place_.node_rank);
  const std::string message = watchdog_verdict(board_->slots(), own, since, now, limit, place_);
  if (!message.empty()) end(message);
}

// What waits by asking ends the world by MPI's own means, which keeps the exit code under every launcher. What is
// blocked in MPI or a GPU's driver does not, and is ended here.
void Watchdog::end(const std::string& message) {
  if (board_->claim_the_word()) say_(message);
  watch::give_up();
  std::this_thread::sleep_for(kForTheOthers);
  std::_Exit(static_cast<int>(ExitCode::internal));
}

}  // namespace chorale
