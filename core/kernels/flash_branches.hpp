// Flash attention of spans that share what came before them: one call per generation of ancestors, put together by the
// sums under their soft-max.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/flash_attention.hpp"
#include "core/kernels/flash_plan.hpp"

namespace chorale {

/// Adds what queries see in their spans' ancestors to `own`, what they saw in their own spans. A soft-max over keys in
/// parts: with s_i the logarithm of part i's sum of exponentials and s that of all, out = sum_i exp(s_i - s) out_i.
/// q: [queries, heads, head_dim]; k, v: [rows, kv_heads, head_dim] in the rows' own order. Not differentiable.
[[nodiscard]] FlashResult with_branches(const FlashResult& own, const at::Tensor& q, const at::Tensor& k,
                                        const at::Tensor& v, const FlashPlan& plan);

/// Adds the branches' gradients to `into`, whose k and v have one row per row. `whole` is what with_branches gave: a
/// part's probabilities are exp(score - s), and the gradients of its scores take the sum over `whole.out`, so flash
/// attention's own backward pass gives each part's gradients when it is handed the whole's result.
void add_branch_gradients(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const FlashResult& whole, const FlashPlan& plan, FlashGradients& into);

}  // namespace chorale
