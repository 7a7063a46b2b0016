// What another member is worth: the metrics of ensembles of 1, 2, ... M of the members.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/ensemble/prediction_table.hpp"

namespace chorale {

/// The metrics of MemberCount, in the order of its arrays.
inline constexpr std::array<std::string_view, 4> kCountedMetrics = {"accuracy", "nll", "brier", "ece"};

struct MemberCount {
  using Values = std::array<double, kCountedMetrics.size()>;

  std::size_t members = 0;
  std::size_t subsets = 0;  // how many ensembles of this size the mean is over
  bool all = true;          // these are all there are; else drawn at random
  Values mean{};            // an NLL is +inf when one of the ensembles' is
  Values deviation{};       // population standard deviation over the subsets; 0 for one, not a number beside +inf
};

/// One entry per m = 1 .. M: arithmetic pools of m members over the labelled examples, averaged over all subsets of
/// that size or, where there are more, over `sampled` of them: the first m members of as many random orders, which
/// `seed` alone determines. m = 1 is `members.mean` of metrics.json, m = M is `ensemble`. Needs a labelled example.
[[nodiscard]] std::vector<MemberCount> metrics_by_member_count(const PredictionTable& table, std::size_t ece_bins,
                                                               std::uint64_t seed, std::size_t sampled = 100);

}  // namespace chorale
