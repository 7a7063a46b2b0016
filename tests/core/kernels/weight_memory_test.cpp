// Weights in memory that processes share. Here the processes are objects that know nothing of each other but the
// memory; distributed/shared_weights_mpi_test.cpp has real ones.
#include "core/kernels/weight_memory.hpp"

#include <ATen/ATen.h>

#include <array>
#include <atomic>
#include <thread>

#include "core/kernels/frozen_linear.hpp"
#include "support/catch.hpp"
#include "support/shared_processes.hpp"
#include "support/tensors.hpp"

using namespace chorale;
using namespace chorale::test;

TEST_CASE("each shared weight is written by one process, and the work is even") {
  constexpr std::size_t kProcesses = 3;
  std::vector<WeightMemory> memories;
  for (const auto& process : shared_processes(kProcesses)) memories.emplace_back(process);
  const std::vector<std::int64_t> rows = {40, 10, 10, 10, 10, 20, 40, 1, 0};
  std::array<std::int64_t, kProcesses> written{};
  std::vector<at::Tensor> tensors;
  for (std::size_t process = 0; process < kProcesses; ++process) {
    for (const std::int64_t count : rows) {
      tensors.push_back(memories[process].filled({count, 7}, at::kFloat, [&](at::Tensor& room) {
        CHECK((count == 0 || at::equal(room, at::zeros_like(room))));
        room.copy_(random_tensor({count, 7}, static_cast<std::uint64_t>(count), at::kFloat));
        written[process] += count;
      }));
    }
  }
  CHECK(written == std::array<std::int64_t, kProcesses>{41, 40, 60});
  memories.clear();  // tensors need nothing of them
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::int64_t count = rows[i % rows.size()];
    CHECK(same_bits(tensors[i], random_tensor({count, 7}, static_cast<std::uint64_t>(count), at::kFloat)));
  }
}

TEST_CASE("a late tensor is made by all who want it, piece by piece and once") {
  constexpr std::int64_t kPieces = 400;
  const auto processes = shared_processes(2);
  std::array<LateTensor, 2> late;
  for (std::size_t process = 0; process < 2; ++process) {
    WeightMemory memory(processes[process]);
    static_cast<void>(memory.filled({3}, at::kDouble, [](at::Tensor& room) { room.fill_(1.0); }));
    late[process] = memory.late({kPieces, 5}, at::kDouble);
  }
  std::array<std::atomic<int>, kPieces> made{};
  std::array<bool, 2> right{};
  const auto use = [&](std::size_t process) {
    const at::Tensor& all = late[process].get(kPieces, [&](const at::Tensor& room, std::int64_t piece) {
      room[piece].fill_(static_cast<double>(piece));
      ++made[static_cast<std::size_t>(piece)];
      std::this_thread::yield();
    });
    const at::Tensor expected = at::arange(kPieces, at::kDouble).unsqueeze(1).expand({kPieces, 5});
    right[process] = at::equal(all, expected) && all.is_contiguous() &&
                     late[process].get(kPieces, [](const at::Tensor&, std::int64_t) {}).data_ptr() == all.data_ptr();
  };
  std::thread other([&] { use(1); });
  use(0);
  other.join();
  CHECK(right == std::array<bool, 2>{true, true});
  CHECK(std::all_of(made.begin(), made.end(), [](const std::atomic<int>& count) { return count == 1; }));
}

TEST_CASE("whoever waits for a process that never comes makes the tensor alone") {
  const auto processes = shared_processes(2);
  std::array<LateTensor, 2> late;
  for (std::size_t process = 0; process < 2; ++process) {
    late[process] = WeightMemory(processes[process]).late({4}, at::kDouble);
  }
  const auto fill = [](const at::Tensor& room, std::int64_t piece) { room[piece].fill_(static_cast<double>(piece)); };
  at::Tensor alone;
  const at::Tensor stopped = late[0].get(4, [&](const at::Tensor& room, std::int64_t piece) {
    // In the middle of the third piece the other one comes, and finds it begun.
    if (piece == 2) alone = late[1].get(4, fill, 0.05);
    fill(room, piece);
  });
  const at::Tensor expected = at::arange(4, at::kDouble);
  CHECK(at::equal(alone, expected));
  CHECK(at::equal(stopped, expected));
  CHECK(alone.data_ptr() != stopped.data_ptr());
}

TEST_CASE("a frozen product over shared weights is the one over its own, in both directions") {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::Tensor weight = random_tensor({37, 53}, 1, at::kFloat).to(type);
    const at::Tensor bias = random_tensor({37}, 2, at::kFloat).to(type);
    const FrozenLinear own(weight, bias);
    std::vector<FrozenLinear> shared;
    int read = 0;
    for (const auto& process : shared_processes(2)) {
      WeightMemory memory(process);
      const auto count = [&] {
        ++read;
        return weight;
      };
      shared.emplace_back(WeightSource{37, 53, count}, type, bias, memory);
    }
    CHECK(read == (FrozenLinear::shares(at::kCPU, type) ? 1 : 2));
    const at::Tensor x = random_tensor({11, 53}, 3, at::kFloat);
    const at::Tensor dy = random_tensor({11, 37}, 4, at::kFloat);
    for (const FrozenLinear& linear : shared) {
      CHECK(same_bits(linear.product(x), own.product(x)));
      CHECK(same_bits(linear.input_gradient(dy), own.input_gradient(dy)));
      CHECK(same_bits(linear.weight(), own.weight()));
    }
  }
}
