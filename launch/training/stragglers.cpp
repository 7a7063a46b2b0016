#include "launch/training/stragglers.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace chorale {
namespace {

constexpr double kForgetting = 0.9;   // as the groups' pace does
constexpr double kWorthSaying = 0.1;  // of the time

}  // namespace

Stragglers::Stragglers(const Placement& placement)
    : placement_(placement),
      lately_(static_cast<std::size_t>(placement.ranks)),
      all_(lately_.size()),
      hosts_(lately_.size()) {}

void Stragglers::met(const std::vector<RankPace>& ranks) {
  for (std::size_t rank = 0; rank < std::min(ranks.size(), all_.size()); ++rank) {
    const RankPace& told = ranks[rank];
    hosts_[rank] = told.host;
    all_[rank].seconds += told.seconds;
    all_[rank].waited += told.waited;
    lately_[rank].seconds = kForgetting * lately_[rank].seconds + told.seconds;
    lately_[rank].waited = kForgetting * lately_[rank].waited + told.waited;
  }
}

Straggler Stragglers::worst_of(const std::vector<Time>& ranks) const {
  Straggler worst;
  for (std::size_t index = 0; index < placement_.groups.size(); ++index) {
    const PlacementGroup& group = placement_.groups[index];
    if (group.ranks == 1) continue;
    const auto first = ranks.begin() + group.first_rank;
    const auto last =
        std::min_element(first, first + group.ranks, [](const Time& a, const Time& b) { return a.waited < b.waited; });
    double waited = 0.0;
    double seconds = 0.0;
    for (auto rank = first; rank != first + group.ranks; ++rank) {
      waited += rank->waited - last->waited;
      seconds = std::max(seconds, rank->seconds);
    }
    waited /= static_cast<double>(group.ranks - 1);
    if (seconds <= 0.0 || waited / seconds <= worst.share) continue;
    worst = {last - ranks.begin(), static_cast<std::int64_t>(index),
             hosts_[static_cast<std::size_t>(last - ranks.begin())], waited, waited / seconds};
  }
  return worst;
}

std::string Stragglers::remark(const Straggler& straggler) {
  if (straggler.share < kWorthSaying) return "";
  return fmt::format("waiting for rank {} on {}: {:.0f} %", straggler.rank, straggler.host, 100.0 * straggler.share);
}

std::string Stragglers::text(const Straggler& straggler) {
  if (straggler.share < kWorthSaying) return "";
  return fmt::format("slowest: rank {} on {}; the others of group {} waited {:.1f} s for it, {:.0f} % of their time",
                     straggler.rank, straggler.host, straggler.group, straggler.seconds, 100.0 * straggler.share);
}

}  // namespace chorale
