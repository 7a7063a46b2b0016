#include "core/kernels/tensor_memory.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <functional>
#include <memory>
#include <numeric>
#include <utility>

namespace chorale {

at::Tensor bytes_over(MappedMemory memory) {
  auto owner = std::make_shared<MappedMemory>(std::move(memory));
  const std::span<std::byte> bytes = owner->bytes();
  return at::from_blob(
      bytes.data(), {static_cast<std::int64_t>(bytes.size())},
      [owner = std::move(owner)](void*) mutable { owner.reset(); }, at::TensorOptions().dtype(at::kByte));
}

at::Tensor own_memory(const std::vector<std::int64_t>& sizes, at::ScalarType type, bool lasting) {
  const auto bytes = static_cast<std::size_t>(std::accumulate(
      sizes.begin(), sizes.end(), static_cast<std::int64_t>(c10::elementSize(type)), std::multiplies<>()));
  if (!lasting || bytes < kHugePage) return at::empty(sizes, at::TensorOptions().dtype(type));
  return bytes_over(MappedMemory::in_huge_pages(bytes)).view(type).view(sizes);
}

}  // namespace chorale
