// Inside this folder: the ranks of one group over MPI.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/parallel/communicator.hpp"
#include "distributed/mpi_handle.hpp"
#include "distributed/mpi_messages.hpp"
#include "distributed/watch_board.hpp"

namespace chorale {

/// MPI carries host memory only: a tensor on a GPU goes through a copy.
class MpiCommunicator : public Communicator {
 public:
  /// Owns `comm`, whose ranks are the `circle` of this process. No message has more than `chunk` bytes or elements;
  /// tests use a few.
  MpiCommunicator(mpi::CommHandle comm, Circle circle, std::int64_t chunk = mpi::kLargestMessage);

  [[nodiscard]] std::int64_t rank() const override { return rank_; }
  [[nodiscard]] std::int64_t size() const override { return size_; }
  void all_reduce_sum(at::Tensor& tensor) override;
  void broadcast(at::Tensor& tensor, std::int64_t root) override;
  [[nodiscard]] std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> bytes) override;

 private:
  void reduce_and_broadcast(const at::Tensor& host);

  mpi::CommHandle comm_;
  Circle circle_;
  std::int64_t chunk_;
  int rank_;
  int size_;
};

}  // namespace chorale
