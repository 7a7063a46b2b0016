#include "distributed/mpi_handle.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

#include "distributed/mpi_error.hpp"

namespace chorale::mpi {
namespace {

bool mpi_is_running() noexcept {
  int started = 0;
  int ended = 1;
  return MPI_Initialized(&started) == MPI_SUCCESS && MPI_Finalized(&ended) == MPI_SUCCESS && started != 0 && ended == 0;
}

}  // namespace

CommHandle::CommHandle(MPI_Comm comm) : comm_(comm) {
  check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

CommHandle::CommHandle(CommHandle&& other) noexcept : comm_(std::exchange(other.comm_, MPI_COMM_NULL)) {}

CommHandle& CommHandle::operator=(CommHandle&& other) noexcept {
  if (this != &other) {
    reset();
    comm_ = std::exchange(other.comm_, MPI_COMM_NULL);
  }
  return *this;
}

CommHandle::~CommHandle() {
  reset();
}

void CommHandle::reset() noexcept {
  if (comm_ == MPI_COMM_NULL) return;
  if (mpi_is_running() && std::uncaught_exceptions() == 0) {
    if (const int result = MPI_Comm_free(&comm_); result != MPI_SUCCESS) {
      spdlog::warn("MPI_Comm_free failed: error {}", result);
    }
  }
  comm_ = MPI_COMM_NULL;
}

int CommHandle::rank() const {
  int rank = 0;
  check(MPI_Comm_rank(comm_, &rank), "MPI_Comm_rank");
  return rank;
}

int CommHandle::size() const {
  int size = 0;
  check(MPI_Comm_size(comm_, &size), "MPI_Comm_size");
  return size;
}

CommHandle duplicate(MPI_Comm comm) {
  MPI_Comm copy = MPI_COMM_NULL;
  check(MPI_Comm_dup(comm, &copy), "MPI_Comm_dup");
  return CommHandle(copy);
}

CommHandle split(MPI_Comm comm, int colour) {
  MPI_Comm part = MPI_COMM_NULL;
  check(MPI_Comm_split(comm, colour, 0, &part), "MPI_Comm_split");
  return CommHandle(part);
}

CommHandle split_by_node(MPI_Comm comm) {
  MPI_Comm node = MPI_COMM_NULL;
  check(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node), "MPI_Comm_split_type");
  return CommHandle(node);
}

Environment::Environment() {
  int started = 0;
  check(MPI_Initialized(&started), "MPI_Initialized");
  CHORALE_ASSERT(started == 0, "MPI is started a second time");
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  if (provided < MPI_THREAD_FUNNELED) {
    throw InternalError(
        fmt::format("this MPI library offers thread level {}, MPI_THREAD_FUNNELED ({}) is needed "
                    "because computing uses threads. Use an MPI that was built with threads.",
                    provided, MPI_THREAD_FUNNELED));
  }
}

Environment::~Environment() {
  if (!mpi_is_running() || std::uncaught_exceptions() > 0) return;
  if (const int result = MPI_Finalize(); result != MPI_SUCCESS) spdlog::warn("MPI_Finalize failed: error {}", result);
}

}  // namespace chorale::mpi
