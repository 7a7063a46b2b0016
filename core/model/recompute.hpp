// What a training pass keeps between its forward and its backward pass.
#pragma once

namespace chorale {

/// none: every input that a gradient needs. light: not the outputs of norms and of the gated activation, which are made
/// again from what stands before them. full: each layer's input alone; the layer runs again in the backward pass. The
/// gradients are the same bits on the CPU.
enum class Recompute { none, light, full };

}  // namespace chorale
