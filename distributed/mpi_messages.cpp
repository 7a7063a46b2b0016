#include "distributed/mpi_messages.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "distributed/mpi_error.hpp"
#include "distributed/watched.hpp"

namespace chorale::mpi {
namespace {

int size_of(MPI_Comm comm) {
  int size = 0;
  check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  return size;
}

bool receives(MPI_Comm comm, std::optional<int> root) {
  int rank = 0;
  check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  return !root || *root == rank;
}

}  // namespace

void broadcast_bytes(MPI_Comm comm, std::span<std::byte> bytes, int root, std::int64_t chunk) {
  const auto total = static_cast<std::int64_t>(bytes.size());
  for (std::int64_t begin = 0; begin < total; begin += chunk) {
    const int count = checked_count(std::min(chunk, total - begin), "MPI_Bcast");
    check(MPI_Bcast(bytes.data() + begin, count, MPI_BYTE, root, comm), "MPI_Bcast");
  }
}

// All ranks know all lengths, so that all make the same number of rounds. In each, every rank hands over its next
// piece; the pieces of one round together stay within a chunk, for MPI's displacements are ints as well.
std::vector<std::vector<std::byte>> gather_bytes(MPI_Comm comm, std::span<const std::byte> bytes,
                                                 std::optional<int> root, std::int64_t chunk) {
  const int ranks = size_of(comm);
  const auto own = static_cast<std::int64_t>(bytes.size());
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(ranks));
  check(MPI_Allgather(&own, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, comm), "MPI_Allgather");
  const std::int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  const std::int64_t piece = std::clamp<std::int64_t>(longest, 1, std::max<std::int64_t>(1, chunk / ranks));
  const bool receiver = receives(comm, root);
  std::vector<std::vector<std::byte>> result;
  if (receiver) {
    for (const std::int64_t length : lengths) result.emplace_back().reserve(static_cast<std::size_t>(length));
  }
  std::vector<std::byte> pieces(receiver ? static_cast<std::size_t>(piece * ranks) : 0);
  std::vector<int> counts(lengths.size());
  std::vector<int> offsets(lengths.size());
  for (std::int64_t begin = 0; begin < longest; begin += piece) {
    const auto part_of = [&](std::int64_t length) { return std::clamp<std::int64_t>(length - begin, 0, piece); };
    for (std::size_t rank = 0; rank < lengths.size(); ++rank) {
      counts[rank] = checked_count(part_of(lengths[rank]), "gathering");
      offsets[rank] = checked_count(static_cast<std::int64_t>(rank) * piece, "gathering");
    }
    const int count = checked_count(part_of(own), "gathering");
    const std::byte* data = bytes.data() + std::min(begin, own);
    if (root) {
      check(MPI_Gatherv(data, count, MPI_BYTE, pieces.data(), counts.data(), offsets.data(), MPI_BYTE, *root, comm),
            "MPI_Gatherv");
    } else {
      check(MPI_Allgatherv(data, count, MPI_BYTE, pieces.data(), counts.data(), offsets.data(), MPI_BYTE, comm),
            "MPI_Allgatherv");
    }
    for (std::size_t rank = 0; rank < result.size(); ++rank) {
      const auto from = pieces.begin() + offsets[rank];
      result[rank].insert(result[rank].end(), from, from + counts[rank]);
    }
  }
  return result;
}

void wait_for(MPI_Request& request, std::string_view operation, Waiting waiting, std::optional<double> seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kSpin = std::chrono::microseconds(200);
  constexpr auto kLongestPause = std::chrono::microseconds(4000);
  const auto begin = Clock::now();
  auto pause = std::chrono::microseconds(50);
  while (true) {
    int done = 0;
    check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), operation);
    if (done != 0) return;
    // The watchdog has said why.
    if (watch::given_up()) watch::end_world();
    const auto waited = Clock::now() - begin;
    if (seconds && waited > std::chrono::duration<double>(*seconds)) {
      throw MpiError(fmt::format("{} did not end within {:.0f} s on {}. Is the network between the hosts open?",
                                 operation, *seconds, who_am_i()));
    }
    if (waiting == Waiting::briskly || waited < kSpin) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, kLongestPause);
    }
  }
}

}  // namespace chorale::mpi
