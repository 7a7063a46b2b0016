// Inside this folder: how what an MPI call returns becomes an exception.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <string_view>

#include "core/base/errors.hpp"

namespace chorale::mpi {

/// Processes cannot reach each other, or MPI refused a call.
class MpiError : public Error {
 public:
  explicit MpiError(const std::string& message) : Error(ExitCode::internal, message) {}
};

/// "rank R on HOST" of this process, as MPI says it.
[[nodiscard]] std::string who_am_i();

/// The name MPI knows this host by.
[[nodiscard]] std::string host_name();

/// MPI's own words for what a call returned.
[[nodiscard]] std::string error_text(int result);

/// Throws MpiError naming the operation, this rank, its host and MPI's reason, unless `result` is MPI_SUCCESS.
void check(int result, std::string_view operation);

/// `count` as MPI takes it; InternalError when it does not fit, so that no message is ever cut short unnoticed.
[[nodiscard]] int checked_count(std::int64_t count, std::string_view operation);

}  // namespace chorale::mpi
