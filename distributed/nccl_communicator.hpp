// Inside this folder, with CUDA only: the ranks of one group over NCCL.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/parallel/communicator.hpp"
#include "distributed/nccl_handle.hpp"
#include "distributed/watch_board.hpp"

namespace chorale {

/// Tensors on the ranks' GPUs travel over NCCL, on a stream of their own that the computing stream is ordered with by
/// events: the processor never waits for a collective, only what is computed from its result does. Everything else
/// (tensors in host memory, bytes) goes over the host communicator.
///
/// A rank that fails ends the run as with MPI; when a peer or the network fails while a collective is on the GPU, the
/// communicator is aborted (nccl_handle.hpp), which ends the collective, and confirm() or the next operation says why.
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
  void confirm() override;

 private:
  struct TimedSum {
    c10::Event ready{c10::kCUDA, c10::EventFlag::BACKEND_DEFAULT};  // these take times
    c10::Event done{c10::kCUDA, c10::EventFlag::BACKEND_DEFAULT};
  };
  using Call = std::function<void(cudaStream_t)>;
  void on_side_stream(const at::Tensor& tensor, Collective collective, const Call& call);
  void count_finished_sums();
  void let_finish(const char* operation);

  std::unique_ptr<Communicator> host_;
  c10::Device device_;
  nccl::Patience patience_;
  c10::Stream side_;
  c10::Event ready_;                    // what is computed so far
  c10::Event done_;                     // the last collective
  std::deque<TimedSum> sums_;           // whose times are not counted yet
  std::optional<nccl::Handle> handle_;  // last: ended first
};

}  // namespace chorale
