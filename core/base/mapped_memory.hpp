// Memory straight from the kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace chorale {

/// Bytes of the pages that the kernel gives to those who ask for fewer and larger ones.
constexpr std::uint64_t kHugePage = std::uint64_t{1} << 21U;

/// A mapping without a file of this process's own, or of memory that it shares; unmapped on destruction.
class MappedMemory {
 public:
  /// The first `bytes` of `mapped`, which mmap gave and this owns.
  MappedMemory(std::span<std::byte> mapped, std::size_t bytes) : mapped_(mapped), bytes_(bytes) {}
  /// `bytes` (> 0) zeros of this process's own, in huge pages where the kernel has them to give. Throws std::bad_alloc.
  [[nodiscard]] static MappedMemory in_huge_pages(std::size_t bytes);
  MappedMemory(MappedMemory&& other) noexcept;
  MappedMemory& operator=(MappedMemory&& other) = delete;
  ~MappedMemory();

  [[nodiscard]] std::span<std::byte> bytes() const { return mapped_.first(bytes_); }

 private:
  std::span<std::byte> mapped_;
  std::size_t bytes_;
};

}  // namespace chorale
