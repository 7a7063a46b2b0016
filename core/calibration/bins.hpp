// Equal-width confidence bins: (lo, hi], the first one closed at 0 as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace chorale {

/// Edges k / bins for k = 1 .. bins. The index comes from comparing with these numbers, never from multiplying, so that
/// 0.6 and 9/15 fall into the same bin. A confidence up to 1e-12 above an edge counts as on it: exp(log(0.6)) may be
/// one unit in the last place above 0.6, and that says nothing about the model.
class ConfidenceBins {
 public:
  /// Asserts bins >= 1.
  explicit ConfidenceBins(std::size_t bins);
  [[nodiscard]] std::size_t size() const { return edges_.size(); }
  [[nodiscard]] std::size_t index(double confidence) const;

 private:
  std::vector<double> edges_;
};

/// ECE = sum over bins of n_b / N |accuracy_b - confidence_b|; MCE = the largest gap of a bin that holds anything.
/// (Naeini, Cooper, Hauskrecht, AAAI 2015; top-label form of Guo et al., ICML 2017.)
struct CalibrationError {
  double expected = 0.0;
  double maximum = 0.0;
};

/// Sums of a set of bins, filled example by example.
class BinSums {
 public:
  explicit BinSums(std::size_t bins) : sums_(bins) {}
  /// `weight` times an example of bin `bin`.
  void add(std::size_t bin, double confidence, bool correct, double weight) {
    Sum& sum = sums_[bin];
    sum.weight += weight;
    sum.gap += weight * ((correct ? 1.0 : 0.0) - confidence);
  }
  void clear() { sums_.assign(sums_.size(), Sum{}); }
  /// Needs a positive total weight.
  [[nodiscard]] CalibrationError error() const;

 private:
  struct Sum {
    double weight = 0.0;
    double gap = 0.0;
  };
  std::vector<Sum> sums_;
};

}  // namespace chorale
