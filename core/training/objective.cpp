#include "core/training/objective.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "core/base/errors.hpp"
#include "core/model/output_head.hpp"

namespace chorale {
namespace {

// sum over choices of p (log p - log q) with p log p = 0 where p = 0.
at::Tensor divergence(const at::Tensor& log_p, const at::Tensor& log_q, const at::Tensor& missing) {
  const at::Tensor zero = at::zeros({}, log_p.options());
  // The masked cells are replaced before they meet: -inf minus -inf would poison the gradient even when masked later.
  const at::Tensor p = at::where(missing, zero, log_p);
  const at::Tensor q = at::where(missing, zero, log_q);
  return at::where(missing, zero, p.exp() * (p - q)).sum(1);
}

}  // namespace

Objective::Objective(const Decoder& decoder, const ExampleBatcher& batcher, std::optional<KlToBase> kl,
                     at::Tensor base_log_probabilities)
    : decoder_(decoder),
      batcher_(batcher),
      scorer_(decoder, batcher),
      kl_(kl),
      base_log_probabilities_(std::move(base_log_probabilities)) {
  CHORALE_ASSERT(!kl_ || needs_base_hidden() || base_log_probabilities_.defined(),
                 "KL to the base needs the base's predictions");
}

bool Objective::needs_base_hidden() const {
  return kl_.has_value() && batcher_.kind() == TaskKind::completion;
}

double Objective::weight_of(const std::vector<std::size_t>& examples) const {
  if (batcher_.kind() == TaskKind::multiple_choice) return static_cast<double>(examples.size());
  double tokens = 0;
  for (const std::size_t example : examples) {
    tokens += static_cast<double>(batcher_.set().examples[example].continuations.front().size());
  }
  return tokens;
}

MemberLosses Objective::losses(const at::Tensor& hidden, const at::Tensor& base_hidden, const ScoringPlan& plan,
                               const at::Tensor& normalisers) const {
  at::Tensor cross_entropy;  // per example, or per pick
  at::Tensor kl;
  at::Tensor owner;  // stream of each entry
  if (batcher_.kind() == TaskKind::multiple_choice) {
    const at::Tensor log_p = scorer_.choice_log_probabilities(hidden, plan);
    cross_entropy = log_p.gather(1, plan.labels.unsqueeze(1)).squeeze(1).neg();
    owner = plan.example_stream;
    if (kl_) {
      const at::Tensor log_q = base_log_probabilities_.index_select(0, plan.set_index).to(log_p.scalar_type());
      kl = kl_->direction == KlDirection::member_to_base ? divergence(log_p, log_q, plan.missing)
                                                         : divergence(log_q, log_p, plan.missing);
    }
  } else {
    cross_entropy = scorer_.token_scores(hidden, plan).neg();
    owner = plan.pick_stream;
    if (kl_) {
      kl = vocabulary_divergence(decoder_.final_norm(hidden), decoder_.final_norm(base_hidden), decoder_.head(),
                                 kl_->direction == KlDirection::base_to_member)
               .index_select(0, plan.pick_output);
    }
    if (plan.real_picks < plan.pick_output.size(0)) {  // those that fill up weigh nothing
      cross_entropy = cross_entropy * plan.pick_weight;
      if (kl_) kl = kl * plan.pick_weight;
    }
  }
  const at::Tensor divisor = normalisers.to(cross_entropy.scalar_type());
  const auto per_member = [&](const at::Tensor& values) {
    return at::zeros({normalisers.size(0)}, values.options()).index_add(0, owner, values) / divisor;
  };
  MemberLosses losses;
  losses.total = per_member(cross_entropy);
  losses.data = losses.total.detach();
  if (kl_) {
    const at::Tensor penalty = per_member(kl);
    losses.divergence = penalty.detach();
    losses.total = losses.total + penalty * kl_->weight;
  }
  return losses;
}

}  // namespace chorale
