#include "distributed/mpi_error.hpp"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <string>

namespace chorale::mpi {

// These three run while an error is being reported: they look at no further return codes but fall back to less.
std::string host_name() {
  std::array<char, MPI_MAX_PROCESSOR_NAME + 1> name{};
  int length = 0;
  if (MPI_Get_processor_name(name.data(), &length) != MPI_SUCCESS) return "unknown host";
  return {name.data(), static_cast<std::size_t>(length)};
}

std::string who_am_i() {
  int rank = 0;
  if (MPI_Comm_rank(MPI_COMM_WORLD, &rank) != MPI_SUCCESS) return "a rank without a number on " + host_name();
  return fmt::format("rank {} on {}", rank, host_name());
}

std::string error_text(int result) {
  std::array<char, MPI_MAX_ERROR_STRING + 1> text{};
  int length = 0;
  if (MPI_Error_string(result, text.data(), &length) != MPI_SUCCESS) return fmt::format("error {}", result);
  return {text.data(), static_cast<std::size_t>(length)};
}

void check(int result, std::string_view operation) {
  if (result == MPI_SUCCESS) return;
  throw MpiError(
      fmt::format("{} failed on {}: {}. Look for the launcher's own messages above, and try `chorale doctor` "
                  "under the same launcher.",
                  operation, who_am_i(), error_text(result)));
}

int checked_count(std::int64_t count, std::string_view operation) {
  CHORALE_ASSERT(count >= 0 && count <= std::numeric_limits<int>::max(),
                 fmt::format("{} of {} elements in one message", operation, count));
  return static_cast<int>(count);
}

}  // namespace chorale::mpi
