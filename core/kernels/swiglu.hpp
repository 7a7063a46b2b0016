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

// The two passes by themselves, for hand-written forward and backward passes where there are CUDA kernels. Not
// differentiable; gate_up contiguous, float32 or bfloat16.

/// silu(gate) * up.
[[nodiscard]] at::Tensor swiglu_product(const at::Tensor& gate_up);

struct SwiGluGradient {
  at::Tensor gate_up;  // [rows, 2*width]
  at::Tensor product;  // swiglu_product(gate_up) once more, from the same pass over memory
};

/// Gradient in gate_up for dy [rows, width], `in_place` where gate_up stood; with `product` also what the forward pass
/// gave, so that it need not be kept.
[[nodiscard]] SwiGluGradient swiglu_gradient(const at::Tensor& gate_up, const at::Tensor& dy, bool product = false,
                                             bool in_place = false);

}  // namespace chorale
