#include "core/base/mapped_memory.hpp"

#include <sys/mman.h>

#include <new>
#include <utility>

namespace chorale {

MappedMemory MappedMemory::in_huge_pages(std::size_t bytes) {
  // A huge page begins at a multiple of its size; what lies before that and behind the end is given back.
  const std::size_t whole = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* given =
      ::mmap(nullptr, whole + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (given == MAP_FAILED) throw std::bad_alloc();
  auto* first = static_cast<std::byte*>(given);
  const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(given) % kHugePage) % kHugePage;
  if (before > 0) ::munmap(first, before);
  if (before < kHugePage) ::munmap(first + before + whole, kHugePage - before);
  ::madvise(first + before, whole, MADV_HUGEPAGE);
  return MappedMemory({first + before, whole}, bytes);
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept
    : mapped_(std::exchange(other.mapped_, {})), bytes_(std::exchange(other.bytes_, 0)) {}

MappedMemory::~MappedMemory() {
  if (!mapped_.empty()) ::munmap(mapped_.data(), mapped_.size());
}

}  // namespace chorale
