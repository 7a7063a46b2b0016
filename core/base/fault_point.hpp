// Where tests stop the program: every system call that changes files announces itself here first, and so do some places
// that change none.
//
// Nothing happens unless this library is compiled with CHORALE_FAULT_POINTS, as it is where the tests are built. Then
// the environment decides, calls being counted from 1 in the order they come:
//   CHORALE_FAULT_AT=I       the I-th call kills the process (SIGKILL); of a write half the bytes are written before
//   CHORALE_FAULT_ERRNO=E    with E one of ENOSPC, EDQUOT, EIO, EINVAL, ENOLCK, EACCES: the I-th call and all later
//                            ones fail with that error instead
//   CHORALE_FAULT_COUNT=N    with the former: N calls fail, the ones behind them do not
//   CHORALE_FAULT_SIGNAL=S   the I-th call sends the process the signal with this number instead, and is then made
//   CHORALE_FAULT_SLEEP=MS   the I-th call and all later ones take that many milliseconds longer instead
//   CHORALE_FAULT_ONLY=OP    counts the calls of one operation alone, e.g. unlink
//   CHORALE_FAULT_LOG=FILE   a line "I OPERATION PATH" for each call, so that tests can enumerate them
#pragma once

#include <string>

namespace chorale {

enum class Fault { none, fail, kill };

/// What is to become of the call about to be made: none, fail (with `error_number`), or kill (kill_here() when the
/// caller has left behind what a killed call would). Thread-safe.
struct FaultVerdict {
  Fault fault = Fault::none;
  int error_number = 0;
};
[[nodiscard]] FaultVerdict ask_fault_point(const char* operation, const std::string& path);

/// For calls that leave nothing half done: kills the process, or gives the errno to fail with, or 0 to go on.
[[nodiscard]] int fault_point(const char* operation, const std::string& path);

/// A place in the work that changes no file: "record", "layer", "tensor", "batch", "resample" and "step", each once for
/// what it says. Counted only when CHORALE_FAULT_ONLY names it; with CHORALE_FAULT_ERRNO it throws InternalError.
void fault_place(const char* name);

[[noreturn]] void kill_here();

}  // namespace chorale
