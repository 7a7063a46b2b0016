// The output head, computed for answer positions only.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace chorale {

/// Logits of some vocabulary entries only. hidden: [outputs, hidden] after the final norm; label_rows: [labels,
/// hidden], the head's rows of those entries. Result [outputs, labels] in the residual type. Differentiable in hidden.
[[nodiscard]] at::Tensor label_logits(const at::Tensor& hidden, const at::Tensor& label_rows);

/// log softmax over the full vocabulary at chosen tokens.
///
/// hidden: [outputs, hidden]; head: [vocabulary, hidden]; output_of, token_of: [picks] int64. Result [picks], float32
/// (float64 for float64 inputs). Logits are made a block of rows at a time and never kept: the forward pass keeps
/// softmax(z) W per output, from which d/dh = W[token] - softmax(z) W. Differentiable in hidden.
[[nodiscard]] at::Tensor token_log_likelihoods(const at::Tensor& hidden, const at::Tensor& head,
                                               const at::Tensor& output_of, const at::Tensor& token_of);

/// The plain twin: one log_softmax over all logits.
[[nodiscard]] at::Tensor token_log_likelihoods_plain(const at::Tensor& hidden, const at::Tensor& head,
                                                     const at::Tensor& output_of, const at::Tensor& token_of);

/// Kullback-Leibler divergence over the full vocabulary per output, in nats: KL(member || base), or KL(base || member)
/// with `base_first`. hidden, base_hidden: [outputs, hidden]. Differentiable in hidden. Blockwise as above.
[[nodiscard]] at::Tensor vocabulary_divergence(const at::Tensor& hidden, const at::Tensor& base_hidden,
                                               const at::Tensor& head, bool base_first);

}  // namespace chorale
