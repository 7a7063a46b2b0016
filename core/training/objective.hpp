// What training minimises, member by member.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "core/inference/example_batcher.hpp"
#include "core/inference/scores.hpp"
#include "core/model/decoder.hpp"
#include "core/training/training_config.hpp"

namespace chorale {

/// Losses of one micro-batch, summed over its examples (or answer tokens) and divided by the member's `normaliser`, so
/// that micro-batches and ranks add up to the mean over the whole batch.
struct MemberLosses {
  at::Tensor total;       // [members] differentiable: data plus regulariser
  at::Tensor data;        // [members] detached: cross-entropy alone
  at::Tensor divergence;  // [members] detached: KL to the base (undefined without the regulariser)
};

/// Cross-entropy of the choice probabilities (multiple choice) or of the answer tokens (completion), and the KL
/// divergence to the base's predictions over the scored classes.
class Objective {
 public:
  /// base_log_probabilities: [examples of the set, choices] of the base model, needed for kl_to_base on multiple
  /// choice.
  Objective(const Decoder& decoder, const ExampleBatcher& batcher, std::optional<KlToBase> kl,
            at::Tensor base_log_probabilities);

  /// hidden: final hidden states of the batch's outputs, [outputs, hidden]; base_hidden: the same from the base without
  /// adapters (completion with kl_to_base only). normalisers: [streams] on the
  /// decoder's device. Waits for nothing and moves nothing between host and device.
  [[nodiscard]] MemberLosses losses(const at::Tensor& hidden, const at::Tensor& base_hidden, const ScoringPlan& plan,
                                    const at::Tensor& normalisers) const;

  /// What a member's whole batch is divided by: its examples, or its answer tokens.
  [[nodiscard]] double weight_of(const std::vector<std::size_t>& examples) const;
  /// True when losses() needs base_hidden.
  [[nodiscard]] bool needs_base_hidden() const;

 private:
  const Decoder& decoder_;
  const ExampleBatcher& batcher_;
  Scorer scorer_;
  std::optional<KlToBase> kl_;
  at::Tensor base_log_probabilities_;
};

}  // namespace chorale
