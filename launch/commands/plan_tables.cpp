// How a plan is shown: as JSON, and as a table for people.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <sstream>

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

std::string weights_text(std::int64_t weights) {
  const auto count = static_cast<double>(weights);
  return count >= 1e9 ? fmt::format("{:.1f} G", count * 1e-9) : fmt::format("{:.1f} M", count * 1e-6);
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

std::string seconds_text(double seconds) {
  if (seconds >= 1.0) return fmt::format("{:.2f} s", seconds);
  return seconds >= 1e-3 ? fmt::format("{:.2f} ms", seconds * 1e3) : fmt::format("{:.1f} us", seconds * 1e6);
}

// Time that no step of the run is below: that of the group that needs longest.
double step_seconds(const Plan& plan) {
  double longest = 0.0;
  for (const GroupCost& group : plan.groups) longest = std::max(longest, group.bound.seconds());
  return longest;
}

// Work, time and memory in tables of their own: beside each other they are wider than a terminal.
std::string groups_text(const Plan& plan) {
  Table work;
  work.add_row({"per step: group", "ranks", "members", "batch", "tokens", "FLOPs", "reduced"});
  Table time;
  time.add_row({"no step is shorter: group", "cross nodes", "arithmetic", "exchange", "step"});
  Table memory;
  memory.add_row({"memory: group", "base", "adapters", "pass", "activations", "prefix", "sum"});
  const std::vector<PlacementGroup>& groups = plan.placement.groups;
  for (std::size_t first = 0; first < groups.size();) {
    const PlacementGroup& group = groups[first];
    std::size_t end = first;
    std::int64_t crossing = 0;
    const GroupCost* slowest = &plan.groups[first];
    for (; end < groups.size() && groups[end].ranks == group.ranks && groups[end].members == group.members; ++end) {
      const GroupCost& other = plan.groups[end];
      crossing += other.crosses_nodes ? 1 : 0;
      if (other.bound.seconds() > slowest->bound.seconds()) slowest = &other;
    }
    const auto run = static_cast<std::int64_t>(end - first);
    const GroupCost& cost = plan.groups[first];
    const RankCost& rank = cost.rank;
    const std::string name = range(static_cast<std::int64_t>(first), run);
    work.add_row({name, range(group.first_rank, group.ranks * run), range(group.first_member, group.members * run),
                  std::to_string(rank.examples), format_count(rank.tokens), flops_text(rank.flops),
                  bytes_text(cost.reduced_bytes)});
    const bool known = plan.device.flops_per_second > 0.0;
    time.add_row({name, crossing == 0 ? "none" : fmt::format("{} of {}", crossing, run),
                  known ? seconds_text(slowest->bound.compute_seconds) : "?",
                  seconds_text(slowest->bound.exchange_seconds), seconds_text(slowest->bound.seconds())});
    memory.add_row({name, bytes_text(rank.base_bytes), bytes_text(rank.adapter_bytes),
                    fmt::format("{} x {}", rank.pass.members, rank.pass.examples), bytes_text(rank.activation_bytes),
                    bytes_text(rank.prefix_bytes), bytes_text(rank.memory_bytes())});
    first = end;
  }
  return work.text() + "batch to FLOPs: of one rank; reduced: bytes a rank gives into sums.\n\n" + time.text() + "\n" +
         memory.text() +
         (plan.has_one_base ? "of one rank; base: once for all ranks of a machine; adapters: with gradients and\n"
                              "moments; pass: members x examples at once; activations: of a pass over the\n"
                              "longest examples; prefix: the frozen layers' output, at most.\n\n"
                            : "of one rank; base: a copy for each; adapters: with gradients and moments; pass:\n"
                              "members x examples at once; activations: of a pass over the longest examples;\n"
                              "prefix: the frozen layers' output, at most.\n\n");
}

// What times and memory are measured against.
std::string device_text(const Plan& plan, std::size_t columns) {
  const PlanDevice& device = plan.device;
  std::string text = beside(
      "device:", 20, device.words + (device.memory_bytes > 0 ? ", " + bytes_text(device.memory_bytes) : ""), columns);
  if (device.flops_per_second > 0.0) {
    text += beside("assumed peak:", 20,
                   fmt::format("{}FLOP/s per rank ({})", flops_text(device.flops_per_second), device.flops_source),
                   columns);
  } else {
    text += beside("assumed peak:", 20, "not known, so times are those of the exchange alone; give --peak", columns);
  }
  if (device.node_bytes_per_second <= 0.0) {
    return text +
           beside("assumed bandwidth:", 20, "not known, so times leave the exchange out; give --bandwidth", columns);
  }
  return text + beside("assumed bandwidth:", 20,
                       fmt::format("{}/s out of a rank inside a node, {}/s between nodes ({})",
                                   bytes_text(static_cast<std::uint64_t>(device.node_bytes_per_second)),
                                   bytes_text(static_cast<std::uint64_t>(device.network_bytes_per_second)),
                                   device.bytes_source),
                       columns);
}

// How many ranks one machine could hold, where the user has not said how many it shall.
std::string room_text(const Plan& plan, std::size_t columns) {
  if (!plan.device.is_cpu || plan.nodes_given || plan.device.memory_bytes == 0) return "";
  const std::int64_t ranks = most_ranks_on_machine(plan);
  if (ranks == 0 || ranks >= plan.placement.ranks) return "";
  return wrapped(fmt::format("One machine like this one holds at most {} such ranks: give --ranks-per-node.", ranks),
                 columns, 0);
}

// What fits only as long as examples are short.
std::string warning_text(const Plan& plan, std::size_t columns) {
  if (plan.device.memory_bytes == 0 || most_bytes_on_machine(plan) <= plan.device.memory_bytes) return "";
  return wrapped(fmt::format("With batches of the longest examples this is more than the {} there are: lower "
                             "data.max_tokens, training.micro_batch_size or training.prefix_cache.",
                             bytes_text(plan.device.memory_bytes)),
                 columns, 0) +
         "\n";
}

ordered_json bound_json(const Plan& plan, const StepBound& bound) {
  ordered_json json = {{"compute", nullptr}, {"exchange", nullptr}};
  if (plan.device.flops_per_second > 0.0) json["compute"] = bound.compute_seconds;
  if (plan.device.node_bytes_per_second > 0.0) json["exchange"] = bound.exchange_seconds;
  return json;
}

ordered_json device_json(const PlanDevice& device) {
  const auto known = [](auto value) { return value > 0 ? ordered_json(value) : ordered_json(); };
  return {{"name", device.name},
          {"memory_bytes", known(device.memory_bytes)},
          {"shared_by_ranks_of_a_node", device.is_cpu},
          {"flops_per_second", known(device.flops_per_second)},
          {"bytes_per_second",
           {{"node", known(device.node_bytes_per_second)}, {"network", known(device.network_bytes_per_second)}}}};
}

ordered_json crossing_json(const Plan& plan) {
  ordered_json list = ordered_json::array();
  for (const Crossing& crossing : crossings(plan.placement, plan.nodes)) list.push_back(crossing.group);
  return list;
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
                      {"crosses_nodes", cost.crosses_nodes},
                      {"step_seconds_at_least", bound_json(plan, cost.bound)},
                      {"per_rank",
                       {{"examples", rank.examples},
                        {"micro_batch_size", rank.pass.examples},
                        {"members_per_pass", rank.pass.members},
                        {"tokens_per_step", rank.tokens},
                        {"flops_per_step", rank.flops},
                        {"memory_bytes",
                         {{"base", rank.base_bytes},
                          {"adapters", rank.adapter_bytes},
                          {"activations", rank.activation_bytes},
                          {"prefix_cache", rank.prefix_bytes},
                          {"at_least", rank.least.total()},
                          {"sum", rank.memory_bytes()}}}}}});
  }
  const Totals sum = totals(plan);
  return {{"placement", to_json(plan.placement)},
          {"nodes", {{"count", plan.nodes.nodes()}, {"groups_that_cross", crossing_json(plan)}}},
          {"base",
           {{"parameters", plan.weights},
            {"weights_present", plan.has_weights},
            {"shared_by_ranks_of_a_node", plan.has_one_base}}},
          {"device", device_json(plan.device)},
          {"adapter_parameters", {{"per_member", plan.parameters}, {"all", plan.parameters * plan.placement.members}}},
          {"example_rows",
           {{"mean", plan.rows.mean},
            {"longest", plan.rows.longest},
            {"shortest", plan.rows.shortest},
            {"common", plan.rows.common},
            {"source", plan.rows.source}}},
          {"tokens_per_step", sum.tokens},
          {"flops_per_step", sum.flops},
          {"flops_formula", flops_formula(plan)},
          {"reduced_bytes_per_step", sum.reduced_bytes},
          {"step_seconds_at_least", step_seconds(plan)},
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
  text += fmt::format("base:               {} weights{}\n", weights_text(plan.weights),
                      plan.has_weights ? "" : " (config.json alone; there are none to read)");
  text += fmt::format("adapter parameters: {} per member, {} in all\n", plan.parameters,
                      plan.parameters * placement.members);
  text += fmt::format("tokens per example: mean {:.1f}, longest {}, {} more once per batch\n", plan.rows.mean,
                      plan.rows.longest, plan.rows.common);
  text += shortened(fmt::format("lengths from:       {}", plan.rows.source), columns);
  text += "\n" + device_text(plan, columns) + room_text(plan, columns) + "\n" + groups_text(plan) +
          warning_text(plan, columns);
  if (plan.nodes_given) {
    std::istringstream lines(describe_crossings(placement, plan.nodes));
    text += count(plan.nodes.nodes(), "node") + ":\n";
    if (lines.str().empty()) text += "every group is inside one node\n";
    for (std::string line; std::getline(lines, line);) text += wrapped(line, columns);
    text += "\n";
  }
  text += fmt::format("in all per step: {} tokens, {}FLOP, {} of gradients exchanged\n", format_count(sum.tokens),
                      flops_text(sum.flops), bytes_text(sum.reduced_bytes));
  if (step_seconds(plan) > 0.0) text += fmt::format("no step is shorter than {}\n", seconds_text(step_seconds(plan)));
  return text + flops_formula(plan);
}

}  // namespace chorale
