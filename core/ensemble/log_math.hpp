// The few float64 operations on rows of log-probabilities that everything else is built from. -inf stands for
// probability zero (an option the example does not have) and never turns into NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace chorale {

/// log of the sum of exp(values), without overflow; -inf when every value is -inf or there are none.
[[nodiscard]] double log_sum_exp(std::span<const double> values);

/// log of the mean of exp(values): max + log(sum / n), so that n equal values give that value bit for bit. Needs n > 0.
[[nodiscard]] double log_mean_exp(std::span<const double> values);

/// Subtracts the log-sum-exp, so that the row's probabilities sum to 1. A row of nothing but -inf stays as it is.
void log_normalise(std::span<double> row);

/// Entropy of a row of log-probabilities in nats, with 0 log 0 = 0.
[[nodiscard]] double entropy(std::span<const double> row);

/// sum of p (log p - log q) in nats over rows of log-probabilities; +inf where p > 0 = q.
[[nodiscard]] double kl_divergence(std::span<const double> p, std::span<const double> q);

/// Index of the largest value, the lowest one on ties.
[[nodiscard]] std::size_t argmax(std::span<const double> row);

}  // namespace chorale
