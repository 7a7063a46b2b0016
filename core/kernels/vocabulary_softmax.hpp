// The soft-max over a whole vocabulary, logits never kept.
#pragma once

#include <ATen/core/Tensor.h>

namespace chorale {

/// log_total[i] = log sum_v exp(hidden[i] . head[v]) and, unless `expected` is null, expected[i] = sum_v
/// softmax(hidden[i] head^T)_v head[v]: what the gradient of a log-likelihood subtracts.
///
/// hidden: [rows, width], head: [vocabulary, width], log_total: [rows], expected: [rows, width]; all contiguous on the
/// CPU, float32 or float64. One pass over the vocabulary in blocks that stay in the caches, with a running maximum per
/// row (online soft-max, arXiv 1805.02867), so that the head is read from memory once per call. Not differentiable.
void vocabulary_softmax(const at::Tensor& hidden, const at::Tensor& head, at::Tensor& log_total, at::Tensor* expected);

}  // namespace chorale
