// Activations given up for time: a stage of a network that keeps its inputs alone and runs again in the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace chorale {

/// A pure function of its tensors: the same inputs must give the same bits.
using Stage = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

/// stage(inputs), differentiable in the inputs, of which one at least is defined. Nothing inside is recorded; the
/// backward pass runs the stage once more, on copies of the inputs that share their memory, and differentiates that.
/// What the stage refers to must live until then.
[[nodiscard]] at::Tensor recomputed(const Stage& stage, const std::vector<at::Tensor>& inputs);

}  // namespace chorale
