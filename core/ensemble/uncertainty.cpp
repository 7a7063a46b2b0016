#include "core/ensemble/uncertainty.hpp"

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/ensemble/log_math.hpp"

namespace chorale {
namespace {

// Rows may sum to 1 + 1e-5 (float32 rounding): an entropy can be below zero by that much, a mean KL only by 1e-15.
double without_rounding(double value, double tolerance) {
  CHORALE_ASSERT(value >= -tolerance, "an uncertainty is negative by more than rounding");
  return std::max(value, 0.0);
}

}  // namespace

Uncertainty uncertainty(const PredictionTable& table, const LogRows& pooled) {
  Uncertainty result;
  const double members = static_cast<double>(table.members.size());
  for (std::size_t example = 0; example < table.examples; ++example) {
    double entropies = 0.0;
    double divergences = 0.0;
    for (const LogRows& member : table.members) {
      entropies += entropy(member.row(example));
      divergences += kl_divergence(member.row(example), pooled.row(example));
    }
    result.total.push_back(without_rounding(entropy(pooled.row(example)), 1e-4));
    result.aleatoric.push_back(without_rounding(entropies / members, 1e-4));
    result.epistemic.push_back(without_rounding(divergences / members, 1e-12));
  }
  return result;
}

std::vector<double> disagreement(const PredictionTable& table) {
  const std::size_t members = table.members.size();
  std::vector<double> result(table.examples, 0.0);
  std::vector<std::size_t> votes(table.choices);
  for (std::size_t example = 0; members > 1 && example < table.examples; ++example) {
    std::fill(votes.begin(), votes.end(), std::size_t{0});
    for (const LogRows& member : table.members) {
      ++votes[argmax(member.row(example))];
    }
    std::size_t agreeing = 0;
    for (const std::size_t count : votes) {
      agreeing += count * (count - (count > 0 ? 1 : 0)) / 2;
    }
    const std::size_t pairs = members * (members - 1) / 2;
    result[example] = static_cast<double>(pairs - agreeing) / static_cast<double>(pairs);
  }
  return result;
}

}  // namespace chorale
