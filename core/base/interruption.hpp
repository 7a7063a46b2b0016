// A request to stop: what a scheduler's signal, or a person's Ctrl-C, means to a run, and where it is noticed.
//
// A handler only takes a note. Work that takes long asks between its parts; training asks at step boundaries, where all
// ranks agree and save first (launch/training/run_control.hpp).
#pragma once

#include <string>

#include "core/base/errors.hpp"

namespace chorale {

/// A request to stop was followed (exit 75): the same command with --resume goes on.
class Preempted : public Error {
 public:
  explicit Preempted(const std::string& message) : Error(ExitCode::preempted, message) {}
};

/// From here on SIGTERM, SIGUSR1, SIGUSR2 and a first SIGINT are notes for interruption(); a second SIGINT ends the
/// process at once. SIGINT stays ignored where whoever started this process ignores it (background jobs). Interrupted
/// system calls go on. Programs started by this one get the default actions again, as exec resets handlers.
void note_signals_as_interruption();

/// The signal that asked to stop, or 0. The first one counts. Safe from any thread.
[[nodiscard]] int interruption() noexcept;
/// True when it came to this very process.
[[nodiscard]] bool interruption_is_own() noexcept;

/// Notes a request that reached this process another way: `signal` came to another rank of the same run. Safe from any
/// thread.
void pass_on_interruption(int signal) noexcept;

/// "SIGTERM" of 15; "signal 99" of others.
[[nodiscard]] std::string signal_name(int signal);

/// To be called between the parts of anything that takes long and leaves nothing to save. Throws Preempted when a
/// request is noted; otherwise costs a load. Also a sign of life (heartbeat.hpp), and a place where tests stop the
/// program (fault_point.hpp).
void stop_if_asked(const char* place);

}  // namespace chorale
