// From M members' distributions to one.
#pragma once

#include "core/ensemble/prediction_table.hpp"

namespace chorale {

enum class Pooling {
  arithmetic,  // mean of the probabilities
  geometric,   // softmax of the mean log-probability: normalised product of experts
};

/// Pooled log-probabilities [examples, choices]. Arithmetic: log-mean-exp over members, which for equal members
/// gives the member's own bits. Geometric: an option any member rules out is ruled out; where members rule out
/// all options between them the product says nothing, and the row is uniform over what any member allows. Asserts at
/// least one member.
[[nodiscard]] LogRows pool(const PredictionTable& table, Pooling pooling);

}  // namespace chorale
