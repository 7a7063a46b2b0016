// The gated activation of a feed-forward block (SwiGLU, arXiv 2002.05202).
#pragma once

#include <ATen/core/Tensor.h>

namespace chorale {

/// silu(gate) * up. gate_up: [rows, 2*width], gate in the first half of a row; result [rows, width]. Differentiable.
/// `may_overwrite`: nobody needs gate_up's values once this backward pass has run, so that its gradient may go where
/// they stood: backward once only.
[[nodiscard]] at::Tensor swiglu(const at::Tensor& gate_up, bool may_overwrite = false);

/// The plain twin of swiglu.
[[nodiscard]] at::Tensor swiglu_plain(const at::Tensor& gate_up);

}  // namespace chorale
