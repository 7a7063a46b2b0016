// Inside this folder, with CUDA only: the ranks of one group over NCCL.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/parallel/communicator.hpp"
#include "distributed/nccl_handle.hpp"

namespace chorale {

/// Tensors on the ranks' GPUs travel over NCCL, on a stream of their own that the computing stream is ordered with by
/// events: the processor never waits for a collective, only what is computed from its result does. Everything else
/// (tensors in host memory, bytes) goes over the host communicator.
///
/// A rank that fails ends the run as with MPI; a peer that vanishes while a collective is on the GPU is noticed by the
/// next operation, or by the launcher.
class NcclCommunicator : public Communicator {
 public:
  /// Collective over `host`'s ranks, which compute on one GPU each. `who` names this process in messages. NcclError.
  NcclCommunicator(std::unique_ptr<Communicator> host, c10::Device device, const std::string& who,
                   const nccl::Patience& patience = {});

  [[nodiscard]] std::int64_t rank() const override { return host_->rank(); }
  [[nodiscard]] std::int64_t size() const override { return host_->size(); }
  void all_reduce_sum(at::Tensor& tensor) override;
  void broadcast(at::Tensor& tensor, std::int64_t root) override;
  [[nodiscard]] std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> bytes) override;

 private:
  using Call = std::function<ncclResult_t(ncclComm_t, cudaStream_t)>;
  void on_side_stream(const at::Tensor& tensor, const char* operation, const Call& call);
  void let_finish(const char* operation);

  std::unique_ptr<Communicator> host_;
  c10::Device device_;
  nccl::Patience patience_;
  c10::Stream side_;
  c10::Event ready_;                    // what is computed so far
  c10::Event done_;                     // the last collective
  std::optional<nccl::Handle> handle_;  // last: ended first
};

}  // namespace chorale
