#include "core/calibration/member_counts.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "core/base/errors.hpp"
#include "core/base/random.hpp"
#include "core/calibration/bins.hpp"
#include "core/ensemble/log_math.hpp"

namespace chorale {
namespace {

using Subset = std::vector<std::uint32_t>;

// Sums of probabilities below this may have lost digits; the logarithms then tell.
constexpr double kSafeProbability = 1e-280;

// The labelled examples' probabilities, kept apart from the table so that pooling m members is m sums.
class Members {
 public:
  Members(const PredictionTable& table, std::size_t ece_bins)
      : table_(table), edges_(ece_bins), probabilities_(table.members.size()) {
    for (std::size_t example = 0; example < table.examples; ++example) {
      if (table.labels[example] >= 0) labelled_.push_back(example);
    }
    CHORALE_ASSERT(!labelled_.empty(), "metrics need a labelled example");
    for (std::size_t member = 0; member < table.members.size(); ++member) {
      probabilities_[member].reserve(labelled_.size() * table.choices);
      for (const std::size_t example : labelled_) {
        for (const double value : table.members[member].row(example)) probabilities_[member].push_back(std::exp(value));
      }
    }
    sums_.resize(labelled_.size() * table.choices);
  }

  void clear() { std::fill(sums_.begin(), sums_.end(), 0.0); }
  void add(std::uint32_t member) {
    const std::vector<double>& more = probabilities_[member];
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += more[i];
  }

  // Of the members that were added since clear(), which are `subset`.
  [[nodiscard]] MemberCount::Values metrics(std::span<const std::uint32_t> subset) const {
    MemberCount::Values values{};
    BinSums bins(edges_.size());
    const auto members = static_cast<double>(subset.size());
    for (std::size_t n = 0; n < labelled_.size(); ++n) {
      const std::span<const double> sum = std::span(sums_).subspan(n * table_.choices, table_.choices);
      const auto label = static_cast<std::size_t>(table_.labels[labelled_[n]]);
      const std::size_t top = argmax(sum);
      double squares = 0.0;
      for (const double value : sum) squares += value * value;
      values[0] += top == label ? 1.0 : 0.0;
      values[1] -= sum[label] > kSafeProbability ? std::log(sum[label] / members) : pooled(subset, labelled_[n], label);
      values[2] += squares / (members * members) - 2.0 * sum[label] / members + 1.0;
      bins.add(edges_.index(sum[top] / members), sum[top] / members, top == label, 1.0);
    }
    for (double& value : values) value /= static_cast<double>(labelled_.size());
    values[3] = bins.error().expected;
    return values;
  }

 private:
  [[nodiscard]] double pooled(std::span<const std::uint32_t> subset, std::size_t example, std::size_t choice) const {
    std::vector<double> logs;
    for (const std::uint32_t member : subset) logs.push_back(table_.members[member].row(example)[choice]);
    return log_mean_exp(logs);
  }

  const PredictionTable& table_;
  ConfidenceBins edges_;
  std::vector<std::size_t> labelled_;
  std::vector<std::vector<double>> probabilities_;  // [members][labelled examples, choices]
  std::vector<double> sums_;                        // [labelled examples, choices]
};

// Whether there are at most `limit` subsets of `size` out of `members`.
bool are_few(std::size_t members, std::size_t size, std::size_t limit) {
  double subsets = 1.0;
  for (std::size_t i = 1; i <= std::min(size, members - size); ++i) {
    subsets *= static_cast<double>(members - i + 1) / static_cast<double>(i);
    if (subsets > static_cast<double>(limit) + 0.5) return false;
  }
  return true;
}

// The subset after this one in the order of their sorted members; false after the last.
bool advance(Subset& subset, std::size_t members) {
  const std::size_t size = subset.size();
  for (std::size_t place = size; place-- > 0;) {
    if (subset[place] + (size - place) < members) {
      std::iota(subset.begin() + static_cast<std::ptrdiff_t>(place), subset.end(), subset[place] + 1);
      return true;
    }
  }
  return false;
}

MemberCount averaged(std::size_t members, bool all, std::span<const MemberCount::Values> values) {
  MemberCount result{members, values.size(), all, {}, {}};
  const auto count = static_cast<double>(values.size());
  for (std::size_t metric = 0; metric < kCountedMetrics.size(); ++metric) {
    double sum = 0.0;
    for (const MemberCount::Values& value : values) sum += value[metric];
    double squares = 0.0;
    for (const MemberCount::Values& value : values) squares += std::pow(value[metric] - sum / count, 2);
    result.mean[metric] = sum / count;
    result.deviation[metric] = std::sqrt(squares / count);
  }
  return result;
}

}  // namespace

std::vector<MemberCount> metrics_by_member_count(const PredictionTable& table, std::size_t ece_bins, std::uint64_t seed,
                                                 std::size_t sampled) {
  const std::size_t count = table.members.size();
  Members members(table, ece_bins);
  std::vector<std::vector<MemberCount::Values>> values(count);
  std::vector<bool> few(count);
  for (std::size_t size = 1; size <= count; ++size) {
    few[size - 1] = are_few(count, size, sampled);
    if (!few[size - 1]) continue;
    Subset subset(size);
    std::iota(subset.begin(), subset.end(), 0U);
    do {
      members.clear();
      for (const std::uint32_t member : subset) members.add(member);
      values[size - 1].push_back(members.metrics(subset));
    } while (advance(subset, count));
  }
  const bool some_many = std::find(few.begin(), few.end(), false) != few.end();
  for (std::size_t order = 0; some_many && order < sampled; ++order) {
    const Subset subset = RandomStream(seed, 0, Purpose::shuffle, order).permutation(static_cast<std::uint32_t>(count));
    members.clear();
    for (std::size_t size = 1; size <= count; ++size) {
      members.add(subset[size - 1]);
      if (!few[size - 1]) values[size - 1].push_back(members.metrics(std::span(subset).first(size)));
    }
  }
  std::vector<MemberCount> result;
  for (std::size_t size = 1; size <= count; ++size) {
    result.push_back(averaged(size, few[size - 1], values[size - 1]));
  }
  return result;
}

}  // namespace chorale
