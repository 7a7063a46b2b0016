#include "core/inference/scores.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "core/base/errors.hpp"
#include "core/model/output_head.hpp"

namespace chorale {

Scorer::Scorer(const Decoder& decoder, const ExampleBatcher& batcher) : decoder_(decoder) {
  if (!batcher.label_tokens().empty()) {
    label_rows_ = decoder.head().index_select(0, at::tensor(batcher.label_tokens(), at::kLong).to(decoder.device()));
  }
}

at::Tensor Scorer::token_scores(const at::Tensor& hidden, const ScoringPlan& plan) const {
  return token_log_likelihoods(decoder_.final_norm(hidden), decoder_.head(), plan.pick_output, plan.pick_token);
}

at::Tensor Scorer::choice_log_probabilities(const at::Tensor& hidden, const ScoringPlan& plan) const {
  at::Tensor scores;
  if (plan.label_output.defined()) {
    const at::Tensor logits = label_logits(decoder_.final_norm(hidden), label_rows_);
    scores = logits.index_select(0, plan.label_output).gather(1, plan.label_columns);
  } else {
    const at::Tensor tokens = token_scores(hidden, plan) * plan.pick_weight;
    scores = at::zeros({plan.examples * plan.choices}, tokens.options())
                 .index_add(0, plan.pick_cell, tokens)
                 .view({plan.examples, plan.choices});
  }
  return at::log_softmax(scores.masked_fill(plan.missing, -std::numeric_limits<double>::infinity()), 1);
}

}  // namespace chorale
