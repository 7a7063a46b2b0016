#include "distributed/clock_offsets.hpp"

#include <fmt/format.h>

#include <chrono>

#include "distributed/mpi_error.hpp"
#include "distributed/mpi_handle.hpp"
#include "distributed/mpi_messages.hpp"

namespace chorale {
namespace {

constexpr int kTrips = 12;
constexpr double kPatience = 60.0;  // seconds: the last rank waits for its turn

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void send(MPI_Comm comm, double value, int other) {
  MPI_Request request = MPI_REQUEST_NULL;
  mpi::check(MPI_Isend(&value, 1, MPI_DOUBLE, other, 0, comm, &request), "MPI_Isend");
  mpi::wait_for(request, fmt::format("telling rank {} the time", other), mpi::Waiting::briskly, kPatience);
}  // NOLINT(clang-analyzer-optin.mpi.MPI-Checker): wait_for() has waited

double receive(MPI_Comm comm, int other, mpi::Waiting waiting) {
  double value = 0.0;
  MPI_Request request = MPI_REQUEST_NULL;
  mpi::check(MPI_Irecv(&value, 1, MPI_DOUBLE, other, 0, comm, &request), "MPI_Irecv");
  mpi::wait_for(request, fmt::format("hearing the time of rank {}", other), waiting, kPatience);
  return value;  // NOLINT(clang-analyzer-optin.mpi.MPI-Checker): wait_for() has waited
}

ClockOffset ask(MPI_Comm comm, int other) {
  ClockOffset best;
  for (int trip = 0; trip < kTrips; ++trip) {
    // The wall clock may be set meanwhile; how long the way took is the steady one's.
    const double wall = wall_seconds();
    const double begin = steady_seconds();
    send(comm, 0.0, other);
    const double theirs = receive(comm, other, mpi::Waiting::briskly);
    const double half = 0.5 * (steady_seconds() - begin);
    if (trip == 0 || half < best.error) best = {theirs - (wall + half), half};
  }
  return best;
}

void answer(MPI_Comm comm) {
  for (int trip = 0; trip < kTrips; ++trip) {
    static_cast<void>(receive(comm, 0, trip == 0 ? mpi::Waiting::politely : mpi::Waiting::briskly));
    send(comm, wall_seconds(), 0);
  }
}

}  // namespace

std::vector<ClockOffset> clock_offsets(World& world) {
  if (world.size() == 1) return {ClockOffset()};
  const mpi::CommHandle comm = mpi::duplicate(MPI_COMM_WORLD);
  std::vector<ClockOffset> offsets;
  if (!world.is_root()) {
    answer(comm.get());
    return offsets;
  }
  offsets.emplace_back();
  for (int other = 1; other < comm.size(); ++other) offsets.push_back(ask(comm.get(), other));
  return offsets;
}

}  // namespace chorale
