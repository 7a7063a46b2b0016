// One copy of the frozen weights for all ranks of a node.
#pragma once

#include <memory>

#include "core/kernels/weight_memory.hpp"
#include "distributed/world.hpp"

namespace chorale {

/// Memory in which the ranks of this rank's node can lay the weights of one base (core/model/decoder.hpp). Null where
/// this is its only rank, where one of them is not `willing` or cannot reach the others' memory, and where there is
/// none to be had. Collective.
[[nodiscard]] std::shared_ptr<const SharedWeights> share_weights(bool willing, World& world);

}  // namespace chorale
