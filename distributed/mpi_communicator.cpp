#include "distributed/mpi_communicator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "core/base/errors.hpp"
#include "distributed/mpi_error.hpp"
#include "distributed/watched.hpp"

namespace chorale {
namespace {

std::span<std::byte> bytes_of(const at::Tensor& host) {
  return {static_cast<std::byte*>(host.data_ptr()), host.nbytes()};
}

// `tensor` itself on the CPU, else a copy there.
at::Tensor on_host(const at::Tensor& tensor) {
  CHORALE_ASSERT(tensor.is_contiguous(), "a tensor with gaps was to be exchanged between ranks");
  return tensor.is_cpu() ? tensor : tensor.cpu();
}

}  // namespace

MpiCommunicator::MpiCommunicator(mpi::CommHandle comm, Circle circle, std::int64_t chunk)
    : comm_(std::move(comm)), circle_(circle), chunk_(chunk), rank_(comm_.rank()), size_(comm_.size()) {
  CHORALE_ASSERT(chunk >= 1 && chunk <= std::numeric_limits<int>::max(), fmt::format("messages of {} bytes", chunk));
}

void MpiCommunicator::all_reduce_sum(at::Tensor& tensor) {
  const bool summable = tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble;
  CHORALE_ASSERT(summable, "a tensor that is neither float32 nor float64 was to be summed over ranks");
  const at::Tensor host = on_host(tensor);  // of a GPU's waits until it is computed
  const watch::Inside inside(Collective::sum, circle_);
  const auto begin = std::chrono::steady_clock::now();
  reduce_and_broadcast(host);
  count_summing(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  if (!tensor.is_cpu()) tensor.copy_(host);
  count_reduced(tensor);
}

// Not MPI_Allreduce: the standard does not promise that every rank gets the same bits, and ranks whose adapters differ
// in the last bit drift apart. One rank's sum, copied, does.
void MpiCommunicator::reduce_and_broadcast(const at::Tensor& host) {
  const MPI_Datatype type = host.scalar_type() == at::kFloat ? MPI_FLOAT : MPI_DOUBLE;
  const std::int64_t width = host.scalar_type() == at::kFloat ? 4 : 8;
  for (std::int64_t begin = 0; begin < host.numel(); begin += chunk_) {
    const int count = mpi::checked_count(std::min(chunk_, host.numel() - begin), "MPI_Reduce");
    std::byte* data = bytes_of(host).data() + begin * width;
    const void* send = rank_ == 0 ? MPI_IN_PLACE : data;
    mpi::check(MPI_Reduce(send, rank_ == 0 ? data : nullptr, count, type, MPI_SUM, 0, comm_.get()), "MPI_Reduce");
  }
  mpi::broadcast_bytes(comm_.get(), bytes_of(host), 0, chunk_);
}

void MpiCommunicator::broadcast(at::Tensor& tensor, std::int64_t root) {
  CHORALE_ASSERT(root >= 0 && root < size_, fmt::format("a broadcast from rank {} of {}", root, size_));
  const at::Tensor host = on_host(tensor);
  const watch::Inside inside(Collective::broadcast, circle_);
  mpi::broadcast_bytes(comm_.get(), bytes_of(host), static_cast<int>(root), chunk_);
  if (!tensor.is_cpu()) tensor.copy_(host);
}

std::vector<std::vector<std::byte>> MpiCommunicator::all_gather(std::span<const std::byte> bytes) {
  const watch::Inside inside(Collective::gathering, circle_);
  return mpi::gather_bytes(comm_.get(), bytes, std::nullopt, chunk_);
}

}  // namespace chorale
