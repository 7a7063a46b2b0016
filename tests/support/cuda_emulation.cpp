#include "support/cuda_emulation.hpp"

#include <ucontext.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace chorale::emulation {

dim3 thread_index, block_index, block_dim, grid_dim;

namespace {

constexpr std::size_t kStack = 256 << 10;

struct alignas(128) Line {
  unsigned char bytes[128];
};

struct Barrier {
  int expected = 0;
  int arrived = 0;
  int generation = 0;
};

struct Fibre {
  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  bool done = false;
  Barrier* waits = nullptr;
  int generation = 0;
  dim3 index;
  void* fake_stack = nullptr;
};

// The block that is running.
struct Block {
  std::vector<Fibre> fibres;
  std::vector<Barrier> warps;
  std::vector<std::uint64_t> slots;
  Barrier all;
  std::vector<Line> shared;
  std::set<void*> poisoned;
  const std::function<void()>* thread = nullptr;
  std::exception_ptr failure;
  ucontext_t scheduler{};
  void* scheduler_fake = nullptr;
  const void* scheduler_stack = nullptr;
  std::size_t scheduler_size = 0;
  std::size_t current = 0;
};
Block block;                              // NOLINT: kernels find their block as threads on a GPU do, by being in it
Order order_in_force = Order::ascending;  // NOLINT
std::uint64_t launch_count = 0;           // NOLINT
std::uint32_t shuffle_state = 1;          // NOLINT

void switch_to_fibre(Fibre& fibre) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&block.scheduler_fake, fibre.stack.get(), kStack);
#endif
  swapcontext(&block.scheduler, &fibre.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(block.scheduler_fake, nullptr, nullptr);
#endif
}

void switch_to_scheduler(Fibre& fibre) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fibre.done ? nullptr : &fibre.fake_stack, block.scheduler_stack, block.scheduler_size);
#endif
  swapcontext(&fibre.context, &block.scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fibre.fake_stack, nullptr, nullptr);
#endif
}

void body() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack, &block.scheduler_size);
#endif
  try {
    (*block.thread)();
  } catch (...) {
    if (!block.failure) block.failure = std::current_exception();
  }
  Fibre& self = block.fibres[block.current];
  self.done = true;
  switch_to_scheduler(self);
}

void wait_at(Barrier& barrier) {
  Fibre& self = block.fibres[block.current];
  if (++barrier.arrived == barrier.expected) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  self.waits = &barrier;
  self.generation = barrier.generation;
  switch_to_scheduler(self);
  self.waits = nullptr;
}

std::vector<std::size_t> order_of(std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (order_in_force == Order::descending) std::reverse(order.begin(), order.end());
  if (order_in_force == Order::shuffled) {
    for (std::size_t i = count; i > 1; --i) {
      shuffle_state = shuffle_state * 1664525U + 1013904223U;
      std::swap(order[i - 1], order[(shuffle_state >> 8U) % i]);
    }
  }
  return order;
}

void run_block(dim3 size) {
  const std::size_t count = std::size_t{size.x} * size.y * size.z;
  if (count % 32 != 0 || count == 0 || count > 1024) throw std::logic_error("a block is 1 to 32 whole warps");
  if (block.fibres.size() < count) block.fibres.resize(count);
  block.warps.assign(count / 32, {32, 0, 0});
  block.slots.assign(count, 0);
  block.all = {static_cast<int>(count), 0, 0};
  block.poisoned.clear();
  block.failure = nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    Fibre& fibre = block.fibres[i];
    if (!fibre.stack) fibre.stack = std::make_unique<char[]>(kStack);
    fibre.done = false;
    fibre.waits = nullptr;
    fibre.index = dim3(static_cast<unsigned>(i) % size.x, static_cast<unsigned>(i) / size.x % size.y,
                       static_cast<unsigned>(i) / (size.x * size.y));
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = kStack;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, body, 0);
  }
  std::size_t left = count;
  while (left > 0) {
    bool moved = false;
    for (const std::size_t i : order_of(count)) {
      Fibre& fibre = block.fibres[i];
      if (fibre.done || (fibre.waits != nullptr && fibre.waits->generation == fibre.generation)) continue;
      block.current = i;
      thread_index = fibre.index;
      switch_to_fibre(fibre);
      moved = true;
      if (fibre.done) --left;
    }
    if (block.failure) std::rethrow_exception(block.failure);
    if (!moved) throw std::logic_error("threads wait at a barrier that others never reach");
  }
}

}  // namespace

std::uint64_t launches() {
  return launch_count;
}

void set_order(Order order) {
  order_in_force = order;
}

void run(dim3 grid, dim3 size, std::size_t shared, const std::function<void()>& thread) {
  if (shared > (48U << 10U)) throw std::logic_error("a block has 48 KiB of shared memory unless it asks for more");
  if (grid.y > 65535 || grid.z > 65535) throw std::logic_error("a grid has at most 65535 blocks in y and z");
  ++launch_count;
  block_dim = size;
  grid_dim = grid;
  block.thread = &thread;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        block_index = dim3(x, y, z);
        block.shared.resize((shared + sizeof(Line) - 1) / sizeof(Line));
        if (shared > 0) std::memset(block.shared.data(), 0xFF, block.shared.size() * sizeof(Line));
        run_block(size);
      }
    }
  }
}

void wait_for_block() {
  wait_at(block.all);
}

void wait_for_warp() {
  wait_at(block.warps[block.current / 32]);
}

std::uint64_t exchange(std::uint64_t value, int from) {
  block.slots[block.current] = value;
  wait_for_warp();
  const std::uint64_t result = block.slots[block.current / 32 * 32 + static_cast<std::size_t>(from)];
  wait_for_warp();
  return result;
}

int lane() {
  return static_cast<int>(block.current % 32);
}

void* shared_memory() {
  return block.shared.data();
}

void poison(void* memory, std::size_t bytes) {
  if (block.poisoned.insert(memory).second) std::memset(memory, 0xFF, bytes);
}

void check_aligned(const void* address, std::size_t bytes) {
  if (bytes == 0 || reinterpret_cast<std::uintptr_t>(address) % bytes != 0) {
    throw std::logic_error("an access that is not aligned to its size: " + std::to_string(bytes) + " bytes");
  }
}

}  // namespace chorale::emulation
