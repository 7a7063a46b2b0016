// What several processes that share weights would each be handed, for tests in one process.
#pragma once

#include <memory>
#include <vector>

#include "core/kernels/weight_memory.hpp"
#include "support/catch.hpp"

namespace chorale::test {

inline std::vector<std::shared_ptr<const SharedWeights>> shared_processes(std::size_t count) {
  auto made = SharedMemory::create();
  REQUIRE(made);
  const std::string address = made->address();
  std::vector<std::shared_ptr<const SharedWeights>> processes;
  for (std::size_t process = 0; process < count; ++process) {
    auto memory = process == 0 ? std::move(made) : SharedMemory::open(address);
    REQUIRE(memory);
    processes.push_back(std::make_shared<const SharedWeights>(
        SharedWeights{std::move(*memory), static_cast<std::int64_t>(process), static_cast<std::int64_t>(count)}));
  }
  return processes;
}

}  // namespace chorale::test
