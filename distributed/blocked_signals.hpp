// Inside this folder: threads that are not to be interrupted.
#pragma once

#include <csignal>

namespace chorale {

/// As long as it lives this thread gets no signals, and neither do the threads it starts, ever: signals are for the
/// thread that computes.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &former_, nullptr); }

 private:
  sigset_t former_{};
};

}  // namespace chorale
