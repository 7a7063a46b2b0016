#include "core/model/staging.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <utility>

namespace chorale {

StagingRing::StagingRing(at::Device device, std::int64_t bytes, std::int64_t buffers)
    : device_(device), bytes_(bytes), buffers_(static_cast<std::size_t>(buffers)) {}

at::Tensor StagingRing::next(std::int64_t least) {
  current_ = (current_ + 1) % buffers_.size();
  Buffer& buffer = buffers_[current_];
  if (buffer.copied) buffer.copied->synchronize();
  if (!buffer.memory.defined() || buffer.memory.numel() < least) {
    const bool pinned = device_.is_cuda();
    buffer.memory = at::empty({std::max(least, bytes_)}, at::TensorOptions().dtype(at::kByte).pinned_memory(pinned));
  }
  return buffer.memory;
}

void StagingRing::send(const at::Tensor& part, const at::Tensor& target) {
  target.copy_(part, /*non_blocking=*/true);
  if (!device_.is_cuda()) return;
  Buffer& buffer = buffers_[current_];
  if (!buffer.copied) buffer.copied.emplace(device_.type());
  buffer.copied->record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
}

}  // namespace chorale
