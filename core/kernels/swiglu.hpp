// The gated activation of a feed-forward block (SwiGLU, arXiv 2002.05202).
#pragma once

#include <ATen/core/Tensor.h>

namespace chorale {

/// silu(gate) * up. gate_up: [rows, 2*width], gate in the first half of a row; result [rows, width]. Differentiable.
[[nodiscard]] at::Tensor swiglu(const at::Tensor& gate_up);

/// The plain twin of swiglu.
[[nodiscard]] at::Tensor swiglu_plain(const at::Tensor& gate_up);

}  // namespace chorale
