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

/// Waits for `request` with growing pauses instead of spinning: for waits that may last while another rank on the same
/// core works. MpiError when `seconds` pass (`operation` says what was waited for); the request is then given up.
void wait_politely(MPI_Request& request, std::string_view operation, std::optional<double> seconds = std::nullopt);

}  // namespace chorale::mpi
