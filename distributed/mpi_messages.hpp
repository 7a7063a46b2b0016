// Inside this folder: messages of any length, in pieces that MPI's int counts can hold, and waiting that leaves the
// core to others.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace chorale::mpi {

/// Most bytes (or elements, where a call counts elements) in one MPI message. Far below what an int can count, as some
/// transports multiply it by the element size.
inline constexpr std::int64_t kLargestMessage = std::int64_t{1} << 28;

/// Rank `root`'s bytes on every rank; `bytes` has the same length everywhere. Collective.
void broadcast_bytes(MPI_Comm comm, std::span<std::byte> bytes, int root, std::int64_t chunk = kLargestMessage);

/// Every rank's bytes by rank: on rank `root` (nothing elsewhere), or without a root on every rank. Lengths may differ.
/// Collective.
[[nodiscard]] std::vector<std::vector<std::byte>> gather_bytes(MPI_Comm comm, std::span<const std::byte> bytes,
                                                               std::optional<int> root,
                                                               std::int64_t chunk = kLargestMessage);

/// How to wait. Politely: with growing pauses, where another rank on the same core may have to work for long before it
/// answers. Briskly: without, for what is under way, as long messages advance only while both sides look after them.
enum class Waiting { politely, briskly };

/// Waits for `request`. MpiError when `seconds` pass (`operation` says what was waited for); it is then given up.
void wait_for(MPI_Request& request, std::string_view operation, Waiting waiting,
              std::optional<double> seconds = std::nullopt);

}  // namespace chorale::mpi
