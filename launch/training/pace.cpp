#include "launch/training/pace.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace chorale {
namespace {

// One meeting is a matter of chance where steps are short.
constexpr double kForgetting = 0.9;

}  // namespace

nlohmann::json to_json(const RankPace& pace) {
  return {{"group", pace.group},     {"leads", pace.leads},   {"steps", pace.steps},
          {"seconds", pace.seconds}, {"tokens", pace.tokens}, {"peak_memory", pace.peak_memory},
          {"waited", pace.waited},   {"host", pace.host}};
}

RankPace rank_pace(const nlohmann::json& json) {
  RankPace pace;
  json.at("group").get_to(pace.group);
  json.at("leads").get_to(pace.leads);
  json.at("steps").get_to(pace.steps);
  json.at("seconds").get_to(pace.seconds);
  json.at("tokens").get_to(pace.tokens);
  json.at("peak_memory").get_to(pace.peak_memory);
  json.at("waited").get_to(pace.waited);
  json.at("host").get_to(pace.host);
  return pace;
}

Pace::Pace(const Placement& placement)
    : placement_(placement), lately_(placement.groups.size()), all_(placement.groups.size()) {}

void Pace::met(const std::vector<RankPace>& ranks) {
  std::vector<Work> work(all_.size());
  std::int64_t tokens = 0;
  std::int64_t steps = 0;
  for (const RankPace& rank : ranks) {
    peak_memory_ = std::max(peak_memory_, rank.peak_memory);
    if (!rank.leads) continue;
    work.at(static_cast<std::size_t>(rank.group)) = {static_cast<double>(rank.steps), rank.seconds};
    tokens += rank.tokens;
    steps = std::max(steps, rank.steps);
  }
  if (steps == 0) return;
  tokens_ += tokens;
  tokens_per_step_ = static_cast<double>(tokens) / static_cast<double>(steps);
  for (std::size_t group = 0; group < work.size(); ++group) {
    all_[group].steps += work[group].steps;
    all_[group].seconds += work[group].seconds;
    lately_[group].steps = kForgetting * lately_[group].steps + work[group].steps;
    lately_[group].seconds = kForgetting * lately_[group].seconds + work[group].seconds;
    // A group whose members have all stopped has no pace any more.
    if (work[group].steps == 0.0) lately_[group] = Work();
  }
}

SlowestGroup Pace::slowest_of(const std::vector<Work>& groups) {
  SlowestGroup slowest;
  double fastest = 0.0;
  double longest = 0.0;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    if (groups[group].steps == 0.0 || groups[group].seconds <= 0.0) continue;
    const double time = groups[group].per_step();
    fastest = fastest == 0.0 ? time : std::min(fastest, time);
    if (time > longest) {
      longest = time;
      slowest.group = static_cast<std::int64_t>(group);
    }
  }
  if (longest > 0.0) slowest.times = longest / fastest;
  return slowest;
}

double Pace::slowest_per_step_of(std::int64_t group) const {
  const Work& own = lately_.at(static_cast<std::size_t>(group));
  const Work& other = lately_.at(static_cast<std::size_t>(slowest().group));
  if (own.steps == 0.0 || other.steps == 0.0 || own.seconds <= 0.0 || other.seconds <= 0.0) return 1.0;
  return std::min(1.0, own.per_step() / other.per_step());
}

std::string Pace::text(const SlowestGroup& slowest) const {
  constexpr double kWorthSaying = 1.1;
  if (slowest.times < kWorthSaying) return "";
  const PlacementGroup& group = placement_.groups.at(static_cast<std::size_t>(slowest.group));
  const std::string ranks = group.ranks == 1
                                ? fmt::format("rank {}", group.first_rank)
                                : fmt::format("ranks {}-{}", group.first_rank, group.first_rank + group.ranks - 1);
  return fmt::format("slowest: group {} ({}) {:.1f}x", slowest.group, ranks, slowest.times);
}

}  // namespace chorale
