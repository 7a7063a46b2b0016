// All processes of one run. Under mpirun or srun an MPI world; otherwise one process, and MPI is never started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/parallel/communicator.hpp"
#include "distributed/node_map.hpp"

namespace chorale {

/// True when the environment is that of a process a launcher started (Open MPI's mpirun, or srun with PMIx).
[[nodiscard]] bool launched_by_mpi();

/// Move-only owner of the MPI environment; there is one, made by main and handed down. Destroying it ends MPI, unless
/// an exception is on its way: then main aborts.
class World {
 public:
  /// What to do with a message of the watchdog, which ends the process behind it; called from a thread of its own.
  using Say = std::function<void(const std::string&)>;
  /// Starts MPI (thread level FUNNELED, checked) when launched_by_mpi(), and the watchdog (watchdog.hpp) where there is
  /// more than one rank. Collective. Throws InternalError when MPI does not start or offers too little.
  [[nodiscard]] static World start(Say say = print_to_standard_error);
  World(World&&) noexcept;
  World& operator=(World&&) = delete;
  ~World();

  [[nodiscard]] std::int64_t rank() const;
  [[nodiscard]] std::int64_t size() const;
  [[nodiscard]] bool is_root() const { return rank() == 0; }
  /// Position among the processes that share this node's memory, and their number (MPI_Comm_split_type).
  [[nodiscard]] std::int64_t node_rank() const;
  [[nodiscard]] std::int64_t node_size() const;
  /// The node of every rank: with one process, one.
  [[nodiscard]] const NodeMap& nodes() const;
  [[nodiscard]] const std::string& host() const;
  [[nodiscard]] bool uses_mpi() const;

  /// All ranks, as a communicator of their own.
  [[nodiscard]] Communicator& everyone();
  /// The ranks that give the same colour (>= 0), ordered by world rank. Collective.
  [[nodiscard]] std::unique_ptr<Communicator> split(std::int64_t colour);
  /// Every rank's bytes, by rank, on rank 0; nothing elsewhere. Collective. Long messages travel in pieces.
  [[nodiscard]] std::vector<std::vector<std::byte>> gather(std::span<const std::byte> bytes);
  /// Rank 0's text on every rank. Collective.
  [[nodiscard]] std::string broadcast(const std::string& text);

  /// The largest that any rank gives of each of the values; all ranks give as many. Collective.
  [[nodiscard]] std::vector<std::int64_t> largest(std::vector<std::int64_t> values);

  /// Runs `part` on every rank and then agrees on the outcome. Collective. When it threw anywhere, every rank throws
  /// AgreedError with the code and message of the lowest rank that failed.
  void together(const std::function<void()>& part);
  /// The same where only rank 0 has something to do.
  void on_root(const std::function<void()>& part);

  /// How long this rank waits for others, in seconds: for longer than that, with no sign of life from those that are
  /// late, the watchdog ends the run (exit 70). 600 until it is said.
  void set_patience(double seconds);
  /// The step this rank is at, for the watchdog's message. What was left to a GPU before is over.
  void at_step(std::int64_t step) noexcept;

  /// Ends all processes with `code`; the launcher returns it. With one process: std::_Exit.
  [[noreturn]] void abort(int code) noexcept;

 private:
  static void print_to_standard_error(const std::string& message);
  struct State;
  explicit World(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// What together() throws on every rank: the first failing rank's error, once.
class AgreedError : public Error {
 public:
  AgreedError(ExitCode code, const std::string& message, std::int64_t rank) : Error(code, message), rank_(rank) {}
  /// The rank that failed, the one that should print the message.
  [[nodiscard]] std::int64_t rank() const { return rank_; }

 private:
  std::int64_t rank_;
};

}  // namespace chorale
