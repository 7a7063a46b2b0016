// From final hidden states to the scores a task is about.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/inference/example_batcher.hpp"
#include "core/model/decoder.hpp"

namespace chorale {

/// Turns the hidden states of a batch's outputs into scores; holds the head rows that label scoring needs.
class Scorer {
 public:
  Scorer(const Decoder& decoder, const ExampleBatcher& batcher);

  /// hidden: [outputs, hidden] as Decoder::run_layers gives them for the batch's outputs. Multiple choice only. Result:
  /// log-probabilities [examples, choices], normalised over the choices an example has, -inf elsewhere. label_token:
  /// softmax over the label tokens' logits; option_likelihood: softmax over the options' mean token log-likelihoods.
  /// Differentiable in hidden.
  [[nodiscard]] at::Tensor choice_log_probabilities(const at::Tensor& hidden, const ScoringPlan& plan) const;

  /// Log-likelihood of every scored token: [picks]. option_likelihood and completion. Differentiable in hidden.
  [[nodiscard]] at::Tensor token_scores(const at::Tensor& hidden, const ScoringPlan& plan) const;

 private:
  const Decoder& decoder_;
  at::Tensor label_rows_;  // [label tokens, hidden]
};

}  // namespace chorale
