// How unsure the ensemble is, and how much of that is the members' disagreement.
#pragma once

#include <vector>

#include "core/ensemble/prediction_table.hpp"

namespace chorale {

/// Per example, in nats: total = entropy of the arithmetic pool; aleatoric = mean entropy of the members; epistemic =
/// mutual information = mean KL(member || pool), which equals total - aleatoric without the cancellation, and is
/// exactly zero for equal members. (Depeweg et al., "Decomposition of uncertainty in Bayesian deep learning", ICML
/// 2018.)
struct Uncertainty {
  std::vector<double> total;
  std::vector<double> aleatoric;
  std::vector<double> epistemic;
};

/// `pooled` is pool(table, Pooling::arithmetic). Values below zero by rounding are set to zero; anything lower is our
/// bug.
[[nodiscard]] Uncertainty uncertainty(const PredictionTable& table, const LogRows& pooled);

/// Per example the share of distinct member pairs m < m' whose argmax differs (ties go to the lowest index); 0 for one
/// member.
[[nodiscard]] std::vector<double> disagreement(const PredictionTable& table);

}  // namespace chorale
