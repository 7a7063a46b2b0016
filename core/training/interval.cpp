#include "core/training/interval.hpp"

#include <cmath>
#include <cstring>
#include <utility>

#include "core/base/errors.hpp"

namespace chorale {

namespace {

// To a multiple of 2^-32, in which sums of up to two million are exact: they are then the same bits in whatever order
// and groups the ranks' shares are added, so that a run that was saved, and collected, at any step logs what one that
// was not logs.
double for_any_order(double value) {
  constexpr double kUnits = 4294967296.0;
  constexpr double kLargest = 1048576.0;
  return std::abs(value) < kLargest ? std::nearbyint(value * kUnits) / kUnits : value;
}

}  // namespace

IntervalLog::IntervalLog(std::vector<std::uint32_t> members, Communicator& group)
    : members_(std::move(members)), group_(group), sums_(members_.size()), tokens_(members_.size(), 0) {}

void IntervalLog::add(std::size_t m, double loss, double divergence, const MemberReport& report) {
  IntervalSums& sums = sums_[m];
  ++sums.steps;
  sums.tokens += report.tokens;
  sums.loss += for_any_order(loss);
  sums.divergence += for_any_order(divergence);
  sums.gradient_norm += report.gradient_norm;
  sums.learning_rate = report.learning_rate;
  tokens_[m] += report.tokens;
}

void IntervalLog::collect() {
  if (group_.size() == 1) return;
  std::vector<double> own;
  for (const IntervalSums& sums : sums_) {
    own.push_back(sums.loss);
    own.push_back(sums.divergence);
  }
  const auto all = group_.all_gather(std::as_bytes(std::span(own)));
  for (std::size_t m = 0; m < sums_.size(); ++m) sums_[m].loss = sums_[m].divergence = 0.0;
  if (group_.rank() != 0) return;
  for (const std::vector<std::byte>& bytes : all) {
    CHORALE_ASSERT(bytes.size() == own.size() * sizeof(double), "all ranks of a group hold the same members");
    std::vector<double> theirs(own.size());
    std::memcpy(theirs.data(), bytes.data(), bytes.size());
    for (std::size_t m = 0; m < sums_.size(); ++m) {
      sums_[m].loss += theirs[2 * m];
      sums_[m].divergence += theirs[2 * m + 1];
    }
  }
}

std::vector<MemberInterval> IntervalLog::finish(const std::vector<bool>& ends) {
  collect();
  std::vector<MemberInterval> result;
  for (std::size_t m = 0; m < sums_.size(); ++m) {
    if (!ends[m] || sums_[m].steps == 0) continue;
    const IntervalSums sums = std::exchange(sums_[m], IntervalSums());
    const auto steps = static_cast<double>(sums.steps);
    result.push_back({members_[m], sums.loss / steps, sums.divergence / steps, sums.learning_rate,
                      sums.gradient_norm / steps, tokens_[m], sums.tokens});
  }
  return result;
}

void IntervalLog::restore(std::vector<IntervalSums> sums, std::vector<std::int64_t> tokens) {
  CHORALE_ASSERT(sums.size() == members_.size() && tokens.size() == members_.size(), "one entry per member");
  sums_ = std::move(sums);
  tokens_ = std::move(tokens);
  if (group_.rank() == 0) return;
  for (IntervalSums& own : sums_) own.loss = own.divergence = 0.0;
}

}  // namespace chorale
