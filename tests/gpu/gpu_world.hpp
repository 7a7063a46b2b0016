// What the GPU tests run in: the ranks, and each one's GPU.
#pragma once

#include <c10/core/Device.h>

#include "distributed/world.hpp"

namespace chorale::test {

World& world();

/// This rank's GPU. Only when has_gpus().
c10::Device gpu();

/// GPUs this rank could choose from.
std::int64_t visible_gpus();

/// Whether every rank has a GPU (all ranks agree). If not, the running test case counts as skipped.
bool has_gpus();

}  // namespace chorale::test
