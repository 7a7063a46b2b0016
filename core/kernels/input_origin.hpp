// Inputs that are made again instead of being kept.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace chorale {

/// How a linear's input came to be: make(source), computed again in the backward pass, where the weight's gradient
/// needs it. Of use where `source` is kept anyway, as a norm keeps its input. Without `make` the input itself is kept.
struct InputOrigin {
  at::Tensor source;                                  // detached
  std::function<at::Tensor(const at::Tensor&)> make;  // the same bits every time
};

}  // namespace chorale
