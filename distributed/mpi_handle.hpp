// Inside this folder: owners of what MPI hands out.
#pragma once

#include <mpi.h>

#include <string_view>

namespace chorale::mpi {

/// Sole owner of a communicator. Made by collective calls and destroyed on all its ranks, as MPI_Comm_free is
/// collective.
class CommHandle {
 public:
  CommHandle() = default;
  /// Takes ownership and makes the communicator's errors return codes instead of ending the process.
  explicit CommHandle(MPI_Comm comm);
  CommHandle(CommHandle&& other) noexcept;
  CommHandle& operator=(CommHandle&& other) noexcept;
  CommHandle(const CommHandle&) = delete;
  CommHandle& operator=(const CommHandle&) = delete;
  /// Frees it, unless MPI is over, or an exception is on its way: the other ranks may not come along then.
  ~CommHandle();

  [[nodiscard]] MPI_Comm get() const { return comm_; }
  [[nodiscard]] int rank() const;
  [[nodiscard]] int size() const;

 private:
  void reset() noexcept;

  MPI_Comm comm_ = MPI_COMM_NULL;
};

/// A copy of `comm` whose messages never meet the original's. Collective.
[[nodiscard]] CommHandle duplicate(MPI_Comm comm);

/// The ranks of `comm` that give the same colour (>= 0), in the order of their ranks in it. Collective.
[[nodiscard]] CommHandle split(MPI_Comm comm, int colour);

/// The ranks of `comm` that share this rank's memory. Collective.
[[nodiscard]] CommHandle split_by_node(MPI_Comm comm);

/// MPI between start and end of the program. Ended by the destructor, unless an exception is on its way: then the
/// others may not be ending, and waiting for them could last for ever.
class Environment {
 public:
  /// Collective. InternalError when MPI was started before or offers no thread level FUNNELED.
  Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();
};

}  // namespace chorale::mpi
