// How a plan is shown: as JSON, and as a table for people.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/report/table.hpp"
#include "launch/commands/plan_costs.hpp"
#include "launch/progress/format.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;

std::string bytes_text(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (value >= 1e12) return fmt::format("{:.2f} TB", value * 1e-12);
  if (value >= 1e9) return fmt::format("{:.2f} GB", value * 1e-9);
  if (value >= 1e6) return fmt::format("{:.1f} MB", value * 1e-6);
  if (value >= 1e3) return fmt::format("{:.1f} kB", value * 1e-3);
  return fmt::format("{} B", bytes);
}

std::string flops_text(double flops) {
  if (flops >= 1e15) return fmt::format("{:.2f} P", flops * 1e-15);
  if (flops >= 1e12) return fmt::format("{:.2f} T", flops * 1e-12);
  if (flops >= 1e9) return fmt::format("{:.2f} G", flops * 1e-9);
  return fmt::format("{:.2f} M", flops * 1e-6);
}

std::string range(std::int64_t first, std::int64_t count) {
  return count == 1 ? std::to_string(first) : fmt::format("{}-{}", first, first + count - 1);
}

struct Totals {
  double tokens = 0.0;
  double flops = 0.0;
  std::uint64_t reduced_bytes = 0;
};

Totals totals(const Plan& plan) {
  Totals result;
  for (const GroupCost& group : plan.groups) {
    result.tokens += group.tokens;
    result.flops += group.flops;
    result.reduced_bytes += group.reduced_bytes;
  }
  return result;
}

// Work and memory in tables of their own: beside each other they are wider than a terminal.
std::string groups_text(const Plan& plan) {
  Table work;
  work.add_row({"per step: group", "ranks", "members", "batch", "tokens", "FLOPs", "reduced"});
  Table memory;
  memory.add_row({"memory of one rank: group", "base", "adapters", "activations", "sum"});
  const std::vector<PlacementGroup>& groups = plan.placement.groups;
  for (std::size_t first = 0; first < groups.size();) {
    const PlacementGroup& group = groups[first];
    std::size_t end = first + 1;
    while (end < groups.size() && groups[end].ranks == group.ranks && groups[end].members == group.members) ++end;
    const auto run = static_cast<std::int64_t>(end - first);
    const GroupCost& cost = plan.groups[first];
    const RankCost& rank = cost.rank;
    const std::string name = range(static_cast<std::int64_t>(first), run);
    work.add_row({name, range(group.first_rank, group.ranks * run), range(group.first_member, group.members * run),
                  std::to_string(rank.examples), format_count(rank.tokens), flops_text(rank.flops),
                  bytes_text(cost.reduced_bytes)});
    memory.add_row({name, bytes_text(rank.base_bytes), bytes_text(rank.adapter_bytes),
                    bytes_text(rank.activation_bytes), bytes_text(rank.memory_bytes())});
    first = end;
  }
  return work.text() + "batch to FLOPs: of one rank; reduced: bytes a group's ranks add up.\n\n" + memory.text() +
         "adapters: with gradients and moments; activations: of one pass over the longest\nexamples.\n\n";
}

}  // namespace

ordered_json to_json(const Plan& plan) {
  ordered_json groups = ordered_json::array();
  for (std::size_t index = 0; index < plan.groups.size(); ++index) {
    const PlacementGroup& group = plan.placement.groups[index];
    const GroupCost& cost = plan.groups[index];
    const RankCost& rank = cost.rank;
    groups.push_back({{"group", index},
                      {"ranks", group.ranks},
                      {"members", group.members},
                      {"tokens_per_step", cost.tokens},
                      {"flops_per_step", cost.flops},
                      {"reduced_bytes_per_step", cost.reduced_bytes},
                      {"per_rank",
                       {{"examples", rank.examples},
                        {"micro_batch_size", rank.micro_batch},
                        {"tokens_per_step", rank.tokens},
                        {"flops_per_step", rank.flops},
                        {"memory_bytes",
                         {{"base", rank.base_bytes},
                          {"adapters", rank.adapter_bytes},
                          {"activations", rank.activation_bytes},
                          {"sum", rank.memory_bytes()}}}}}});
  }
  const Totals sum = totals(plan);
  return {{"placement", to_json(plan.placement)},
          {"device", plan.device},
          {"adapter_parameters", {{"per_member", plan.parameters}, {"all", plan.parameters * plan.placement.members}}},
          {"example_rows",
           {{"mean", plan.rows.mean},
            {"longest", plan.rows.longest},
            {"common", plan.rows.common},
            {"source", plan.rows.source}}},
          {"tokens_per_step", sum.tokens},
          {"flops_per_step", sum.flops},
          {"flops_formula", flops_formula(plan)},
          {"reduced_bytes_per_step", sum.reduced_bytes},
          {"groups", groups}};
}

std::string plan_text(const Plan& plan, const std::string& name, std::size_t columns) {
  const auto count = [](std::int64_t number, const char* thing) {
    return fmt::format("{} {}{}", number, thing, number == 1 ? "" : "s");
  };
  const Totals sum = totals(plan);
  const Placement& placement = plan.placement;
  std::string text =
      fmt::format("{}: {} on {} in {}\n", shortened(name, columns - 40), count(placement.members, "member"),
                  count(placement.ranks, "rank"), count(static_cast<std::int64_t>(placement.groups.size()), "group"));
  text += fmt::format("adapter parameters: {} per member, {} in all\n", plan.parameters,
                      plan.parameters * placement.members);
  text += fmt::format("tokens per example: mean {:.1f}, longest {}, {} more once per batch\n", plan.rows.mean,
                      plan.rows.longest, plan.rows.common);
  text += shortened(fmt::format("lengths from:       {}", plan.rows.source), columns);
  text += "\n\n" + groups_text(plan);
  text += fmt::format("in all per step: {} tokens, {}FLOP, {} of gradients exchanged\n", format_count(sum.tokens),
                      flops_text(sum.flops), bytes_text(sum.reduced_bytes));
  return text + flops_formula(plan);
}

}  // namespace chorale
