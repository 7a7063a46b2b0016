#include "core/kernels/weight_memory.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/kernels/tensor_memory.hpp"

namespace chorale {
namespace {

std::int64_t bytes_of(const std::vector<std::int64_t>& sizes, at::ScalarType type) {
  return std::accumulate(sizes.begin(), sizes.end(), static_cast<std::int64_t>(c10::elementSize(type)),
                         std::multiplies<>());
}

}  // namespace

WeightMemory::WeightMemory(std::shared_ptr<const SharedWeights> shared)
    : lasting_(true),
      shared_(std::move(shared)),
      written_(static_cast<std::size_t>(shared_ ? shared_->processes : 0)) {}

at::Tensor WeightMemory::filled(const std::vector<std::int64_t>& sizes, at::ScalarType type,
                                const std::function<void(at::Tensor&)>& fill) {
  const std::int64_t bytes = bytes_of(sizes, type);
  if (!shared_ || bytes == 0) {
    at::Tensor tensor = own_memory(sizes, type, lasting_);
    fill(tensor);
    return tensor;
  }
  at::Tensor tensor = shared_bytes(bytes).view(type).view(sizes);
  const auto writer = std::min_element(written_.begin(), written_.end());
  *writer += bytes;
  if (writer - written_.begin() == shared_->process) fill(tensor);
  return tensor;
}

LateTensor WeightMemory::late(const std::vector<std::int64_t>& sizes, at::ScalarType type) {
  const std::int64_t bytes = bytes_of(sizes, type);
  if (!shared_ || bytes == 0) return LateTensor(sizes, type, lasting_);
  return LateTensor(sizes, type, shared_bytes(LateTensor::kHeader + bytes));
}

at::Tensor WeightMemory::shared_bytes(std::int64_t bytes) {
  const auto size = static_cast<std::size_t>(bytes);
  const std::uint64_t aligned = SharedMemory::alignment(size);
  const std::uint64_t begin = (end_ + aligned - 1) / aligned * aligned;
  at::Tensor tensor = bytes_over(shared_->memory.map(begin, size));
  end_ = begin + size;
  return tensor;
}

}  // namespace chorale
