// The same bits on every run: what distributed.deterministic sets, and what a user's environment sets besides.
#pragma once

#include <string>
#include <vector>

#include "launch/recipe/recipe.hpp"

namespace chorale {

/// Makes this process compute and exchange the same bits whenever it is started on the same ranks, if the recipe asks
/// for it: torch's deterministic algorithms, a cuBLAS workspace of a fixed size, and one algorithm and protocol of
/// NCCL. To be called before a GPU is looked for, as these are read once, when CUDA and NCCL start. On the processor
/// and over MPI the bits are the same anyway.
///
/// Gives what a log should say, a line each: the variables that were set and what the environment had in their place;
/// without the wish those that the environment sets, since they can change results or speed and no recipe tells of
/// them.
[[nodiscard]] std::vector<std::string> settle_determinism(const DistributedConfig& distributed);

}  // namespace chorale
