// Counts the bytes that torch holds on the CPU, and the most it ever held.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>

namespace chorale::test {

/// Stands in front of torch's own allocator while it lives; what was allocated meanwhile may be given back after its
/// end.
class CountingAllocator : public c10::Allocator {
 public:
  CountingAllocator() : inner_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, kPriority); }
  ~CountingAllocator() override { c10::SetCPUAllocator(inner_, kPriority); }
  CountingAllocator(const CountingAllocator&) = delete;
  CountingAllocator& operator=(const CountingAllocator&) = delete;

  /// Bytes allocated since the start of this allocator and not given back, and the most of them at any time.
  [[nodiscard]] std::int64_t now() const { return books().now - start_; }
  [[nodiscard]] std::int64_t peak() const { return books().peak - start_; }

  c10::DataPtr allocate(std::size_t bytes) override {
    // torch wants memory that is its own context, so sizes are kept apart.
    void* memory = inner_->raw_allocate(bytes);
    if (memory == nullptr) return {nullptr, nullptr, &give_back, c10::Device(c10::kCPU)};
    const std::lock_guard<std::mutex> lock(books().mutex);
    books().blocks[memory] = {static_cast<std::int64_t>(bytes), inner_->raw_deleter()};
    books().now += static_cast<std::int64_t>(bytes);
    books().peak = std::max(books().peak, books().now);
    return {memory, memory, &give_back, c10::Device(c10::kCPU)};
  }
  [[nodiscard]] c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* target, const void* source, std::size_t count) const override {
    inner_->copy_data(target, source, count);
  }

 private:
  static constexpr std::uint8_t kPriority = 100;

  struct Block {
    std::int64_t bytes;
    c10::DeleterFnPtr free;
  };
  struct Books {
    std::mutex mutex;
    std::map<void*, Block> blocks;
    std::int64_t now = 0;
    std::int64_t peak = 0;
  };
  static Books& books() {
    static auto* kept = new Books;  // never destroyed: tensors of static life come back late
    return *kept;
  }
  static void give_back(void* memory) {
    if (memory == nullptr) return;
    Block block{};
    {
      const std::lock_guard<std::mutex> lock(books().mutex);
      const auto found = books().blocks.find(memory);
      block = found->second;
      books().blocks.erase(found);
      books().now -= block.bytes;
    }
    block.free(memory);
  }

  c10::Allocator* inner_;
  std::int64_t start_ = books().peak = books().now;
};

}  // namespace chorale::test
