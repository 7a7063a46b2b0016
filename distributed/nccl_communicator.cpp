#include "distributed/nccl_communicator.hpp"

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "core/base/errors.hpp"
#include "distributed/watched.hpp"

namespace chorale {
namespace {

// torch's interface to streams for any kind of device. Its CUDA side is loaded when a GPU is chosen
// (core/model/device.hpp), so nothing here links it, and a program that computes on the CPU never meets it.
c10::impl::VirtualGuardImpl streams() {
  return c10::impl::VirtualGuardImpl(c10::kCUDA);
}

// The id that rank 0 makes, on every rank. Its failure is everybody's, so that nobody is left waiting.
ncclUniqueId agree_on_id(Communicator& host, const std::string& who) {
  ncclUniqueId id{};
  std::string failure;
  std::vector<std::byte> mine;
  if (host.rank() == 0) {
    try {
      id = nccl::unique_id(who);
      const auto bytes = std::as_bytes(std::span(id.internal));
      mine.assign(bytes.begin(), bytes.end());
    } catch (const nccl::NcclError& error) {
      failure = error.what();
    }
  }
  const std::vector<std::byte> first = host.all_gather(mine).front();
  if (!failure.empty()) throw nccl::NcclError(failure);
  if (first.size() != sizeof id.internal) {
    throw nccl::NcclError(fmt::format("{} got no NCCL id from the first rank of its group, which tells why.", who));
  }
  std::memcpy(static_cast<void*>(id.internal), first.data(), first.size());
  return id;
}

}  // namespace

NcclCommunicator::NcclCommunicator(std::unique_ptr<Communicator> host, c10::Device device, const std::string& who,
                                   const nccl::Patience& patience)
    : host_(std::move(host)),
      device_(device),
      patience_(patience),
      side_(streams().getStreamFromGlobalPool(device, /*isHighPriority=*/true)),
      ready_(c10::kCUDA),
      done_(c10::kCUDA) {
  CHORALE_ASSERT(host_->size() > 1, "a group of one rank has nobody to talk to");
  const c10::DeviceGuard guard(device_);
  const ncclUniqueId id = agree_on_id(*host_, who);
  const watch::Inside inside(Collective::split, Circle::group);
  handle_.emplace(id, static_cast<int>(host_->size()), static_cast<int>(host_->rank()), who, patience);
}

void NcclCommunicator::all_reduce_sum(at::Tensor& tensor) {
  const bool summable = tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble;
  CHORALE_ASSERT(summable, "a tensor that is neither float32 nor float64 was to be summed over ranks");
  if (tensor.is_cpu()) {
    let_finish("a sum in host memory");
    const double before = host_->summing_seconds();
    host_->all_reduce_sum(tensor);
    count_summing(host_->summing_seconds() - before);
  } else {
    const ncclDataType_t type = tensor.scalar_type() == at::kFloat ? ncclFloat32 : ncclFloat64;
    on_side_stream(tensor, Collective::sum, [&](cudaStream_t stream) {
      handle_->all_reduce_sum(tensor.mutable_data_ptr(), static_cast<std::size_t>(tensor.numel()), type, stream);
    });
  }
  count_reduced(tensor);
}

void NcclCommunicator::broadcast(at::Tensor& tensor, std::int64_t root) {
  CHORALE_ASSERT(root >= 0 && root < size(), fmt::format("a broadcast from rank {} of {}", root, size()));
  if (tensor.is_cpu()) {
    let_finish("a broadcast in host memory");
    return host_->broadcast(tensor, root);
  }
  on_side_stream(tensor, Collective::broadcast, [&](cudaStream_t stream) {
    handle_->broadcast(tensor.mutable_data_ptr(), tensor.nbytes(), static_cast<int>(root), stream);
  });
}

std::vector<std::vector<std::byte>> NcclCommunicator::all_gather(std::span<const std::byte> bytes) {
  let_finish("a gathering");
  return host_->all_gather(bytes);
}

// The computing stream's work so far, then the collective, then the computing stream goes on.
void NcclCommunicator::on_side_stream(const at::Tensor& tensor, Collective collective, const Call& call) {
  CHORALE_ASSERT(tensor.is_contiguous(), "a tensor with gaps was to be exchanged between ranks");
  CHORALE_ASSERT(tensor.device() == device_, fmt::format("a tensor on {} was to be exchanged by a communicator on {}",
                                                         tensor.device().str(), device_.str()));
  if (tensor.numel() == 0) return;
  const c10::DeviceGuard guard(device_);
  const c10::Stream compute = streams().getStream(device_);
  count_finished_sums();
  if (collective == Collective::sum) sums_.emplace_back().ready.record(compute);
  ready_.record(compute);
  ready_.block(side_);
  // Left to the GPU: the host goes on, and notices in the next thing it needs from there. World::at_step() and the next
  // collective take the note back.
  watch::enter(collective, Circle::group);
  call(static_cast<cudaStream_t>(streams().getStreamNativeHandle(side_)));
  done_.record(side_);
  if (collective == Collective::sum) sums_.back().done.record(side_);
  done_.block(compute);
  // torch must not hand the memory on to others before the side stream is done with it.
  tensor.record_stream(side_);
}

// How long sums took on the GPU, from when their input was computed: of those that are through by now. The host is a
// few steps ahead.
void NcclCommunicator::count_finished_sums() {
  constexpr std::size_t kMost = 256;
  while (!sums_.empty() && sums_.front().done.query()) {
    count_summing(1e-3 * sums_.front().ready.elapsedTime(sums_.front().done));
    sums_.pop_front();
  }
  if (sums_.size() > kMost) sums_.pop_front();
}

void NcclCommunicator::confirm() {
  handle_->check_earlier("the sum of the gradients");
}

// MPI blocks this thread; so no collective may be on its way meanwhile, or one rank could wait in the one and its peer
// in the other. Waits by asking, so that a collective whose peer is gone ends in an error and not in silence.
void NcclCommunicator::let_finish(const char* operation) {
  const auto begin = std::chrono::steady_clock::now();
  while (!done_.query()) {
    handle_->check_earlier(operation);
    const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
    if (waited.count() > patience_.operation) {
      handle_->fail(operation, fmt::format("the collective before it did not end within {:.0f} s", waited.count()));
    }
    if (patience_.given_up()) watch::end_world();
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

}  // namespace chorale
