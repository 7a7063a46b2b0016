#include "core/base/interruption.hpp"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <csignal>

#include "core/base/fault_point.hpp"
#include "core/base/heartbeat.hpp"

namespace chorale {
namespace {

std::atomic<int> requested{0};
std::atomic<int> passed_on{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch it");

constexpr std::array kSignals = {SIGTERM, SIGUSR1, SIGUSR2, SIGINT};

void note(int signal) {
  if (signal == SIGINT && requested.load() == SIGINT) {
    // Somebody does not want to wait. Delivered when this handler returns.
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
    return;
  }
  // A SIGINT after another signal is noted as well, so that the next one ends the process.
  int none = 0;
  if (!requested.compare_exchange_strong(none, signal) && signal == SIGINT) requested.store(SIGINT);
}

}  // namespace

void note_signals_as_interruption() {
  sigset_t ours;
  sigemptyset(&ours);
  for (const int signal : kSignals) {
    struct sigaction former {};
    sigaction(signal, nullptr, &former);
    // A shell ignores SIGINT for jobs in the background. The others are meant for us even when a batch script that
    // only passes them on has them ignored.
    if (signal == SIGINT && former.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = note;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
    sigaddset(&ours, signal);
  }
  pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
}

int interruption() noexcept {
  const int own = requested.load(std::memory_order_relaxed);
  return own != 0 ? own : passed_on.load(std::memory_order_relaxed);
}

bool interruption_is_own() noexcept {
  return requested.load(std::memory_order_relaxed) != 0;
}

void pass_on_interruption(int signal) noexcept {
  int none = 0;
  passed_on.compare_exchange_strong(none, signal);
}

std::string signal_name(int signal) {
  switch (signal) {
    case SIGTERM:
      return "SIGTERM";
    case SIGUSR1:
      return "SIGUSR1";
    case SIGUSR2:
      return "SIGUSR2";
    case SIGINT:
      return "SIGINT";
    default:
      return fmt::format("signal {}", signal);
  }
}

void stop_if_asked(const char* place) {
  beat();
  fault_place(place);
  const int signal = interruption();
  if (signal == 0) return;
  throw Preempted(
      fmt::format("stopped by {}; nothing new was there to be saved. The same command with --resume goes on from the "
                  "last checkpoint, or from the beginning if there is none.",
                  signal_name(signal)));
}

}  // namespace chorale
