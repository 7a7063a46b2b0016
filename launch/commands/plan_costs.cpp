#include "launch/commands/plan_costs.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/adapters/adapter_layout.hpp"
#include "core/model/decoder.hpp"
#include "core/report/table.hpp"
#include "core/training/memory_estimate.hpp"
#include "core/weights/expected_tensors.hpp"

namespace chorale {
namespace {

class Costs {
 public:
  Costs(const Recipe& recipe, const ModelConfig& model, const AdapterLayout& layout, const Plan& plan)
      : recipe_(recipe),
        model_(model),
        plan_(plan),
        memory_(own_memory(plan)),
        row_bytes_(activation_bytes_per_row(model, layout,
                                            activation_element_bytes(recipe.base.dtype, !plan.device.is_cpu),
                                            recipe.training.recompute)),
        base_bytes_(training_base_bytes(model, recipe.base.dtype, !plan.device.is_cpu, layout.lowest_layer())) {}

  [[nodiscard]] GroupCost of(const PlacementGroup& group) const {
    const std::int64_t batch = recipe_.training.batch_size;
    GroupCost cost;
    cost.rank = rank_cost(group, (batch + group.ranks - 1) / group.ranks);
    // The common prefix is computed by every rank of the group.
    cost.tokens = tokens(group.members, batch, group.ranks);
    cost.flops = cost.tokens * flops_per_token();
    cost.reduced_bytes = group.ranks > 1 ? static_cast<std::uint64_t>(group.members * plan_.parameters) * 4 : 0;
    return cost;
  }

  [[nodiscard]] StepBound bound_of(const PlacementGroup& group, const GroupCost& cost) const {
    const PlanDevice& device = plan_.device;
    StepBound bound;
    if (device.flops_per_second > 0.0) bound.compute_seconds = cost.rank.flops / device.flops_per_second;
    const double speed = cost.crosses_nodes ? device.network_bytes_per_second : device.node_bytes_per_second;
    const auto ranks = static_cast<double>(group.ranks);
    if (speed > 0.0)
      bound.exchange_seconds = 2.0 * (ranks - 1.0) / ranks * static_cast<double>(cost.reduced_bytes) / speed;
    return bound;
  }

 private:
  // Bytes a rank may count as its own; 0: unknown.
  static std::uint64_t own_memory(const Plan& plan) {
    if (!plan.device.is_cpu) return plan.device.memory_bytes;
    return plan.device.memory_bytes / static_cast<std::uint64_t>(plan.nodes.most_ranks());
  }
  [[nodiscard]] double tokens(std::int64_t members, std::int64_t examples, std::int64_t ranks) const {
    const double rows =
        static_cast<double>(examples) * plan_.rows.mean + static_cast<double>(ranks * plan_.rows.common);
    return static_cast<double>(members) * rows;
  }
  [[nodiscard]] double flops_per_token() const {
    return 4.0 * static_cast<double>(plan_.adapted_weights) + 6.0 * static_cast<double>(plan_.parameters);
  }
  // Hidden states of the whole training and validation set, as far as they are let.
  [[nodiscard]] std::uint64_t prefix_bytes() const {
    if (plan_.below_layers == 0) return 0;
    const std::uint64_t budget = prefix_budget(recipe_.training, memory_);
    if (plan_.rows.examples == 0) return budget;
    const double rows =
        static_cast<double>(plan_.rows.examples) * plan_.rows.mean + static_cast<double>(plan_.rows.common);
    return std::min(budget, static_cast<std::uint64_t>(rows * 4.0 * static_cast<double>(model_.hidden)));
  }
  [[nodiscard]] RankCost rank_cost(const PlacementGroup& group, std::int64_t examples) const {
    RankCost cost;
    cost.examples = examples;
    cost.tokens = tokens(group.members, examples, 1);
    cost.flops = cost.tokens * flops_per_token();
    cost.base_bytes = base_bytes_;
    cost.adapter_bytes = adapter_bytes(group.members * plan_.parameters, recipe_.training.early_stopping.has_value());
    cost.prefix_bytes = prefix_bytes();
    // As a training chooses it.
    const std::uint64_t taken = cost.base_bytes + cost.adapter_bytes + cost.prefix_bytes;
    const std::int64_t micro = recipe_.training.micro_batch_size;
    cost.pass = micro > 0 ? PassSize{group.members, std::min(examples, micro)}
                          : automatic_pass_size(group.members, examples, plan_.rows.longest, row_bytes_,
                                                activation_budget(memory_, !plan_.device.is_cpu, taken));
    const std::int64_t rows = cost.pass.members * (cost.pass.examples * plan_.rows.longest + plan_.rows.common);
    cost.activation_bytes = static_cast<std::uint64_t>(rows) * row_bytes_;
    cost.least = training_need(recipe_, model_, !plan_.device.is_cpu, {plan_.rows.shortest, plan_.rows.common},
                               group.members, examples);
    return cost;
  }

  const Recipe& recipe_;
  const ModelConfig& model_;
  const Plan& plan_;
  std::uint64_t memory_;
  std::uint64_t row_bytes_;
  std::uint64_t base_bytes_;
};

}  // namespace

Plan make_plan(const Recipe& recipe, const ModelConfig& model, const Placement& placement, const NodeMap& nodes,
               const ExampleRows& rows, const PlanDevice& device) {
  check_batch(placement, recipe.training.batch_size);
  const AdapterLayout layout(model, recipe.adapter);
  Plan plan;
  plan.placement = placement;
  plan.nodes = nodes;
  plan.device = device;
  plan.has_one_base =
      device.is_cpu && nodes.most_ranks() > 1 && can_be_shared(decoder_options(recipe.base.dtype, at::kCPU));
  plan.weights = parameter_count(model);
  plan.parameters = layout.parameters();
  plan.below_layers = layout.lowest_layer();
  plan.below_weights = plan.below_layers * layer_weights(model);
  plan.adapted_weights = (model.layers - plan.below_layers) * layer_weights(model);
  plan.rows = rows;
  const Costs costs(recipe, model, layout, plan);
  for (const PlacementGroup& group : placement.groups) plan.groups.push_back(costs.of(group));
  for (const Crossing& crossing : crossings(placement, nodes)) {
    plan.groups[static_cast<std::size_t>(crossing.group)].crosses_nodes = true;
  }
  for (std::size_t index = 0; index < plan.groups.size(); ++index) {
    plan.groups[index].bound = costs.bound_of(placement.groups[index], plan.groups[index]);
  }
  return plan;
}

std::pair<MemoryNeed, MemoryPlace> tightest_place(const Plan& plan) {
  const auto [least, most] = std::minmax_element(
      plan.groups.begin(), plan.groups.end(),
      [](const GroupCost& a, const GroupCost& b) { return a.rank.least.total() < b.rank.least.total(); });
  MemoryPlace place{plan.device.words, plan.device.memory_bytes, 1, false};
  if (!plan.device.is_cpu || !plan.nodes_given) return {most->rank.least, place};
  // Any rank of a machine needs at least what the lightest does.
  place.ranks = plan.nodes.most_ranks();
  place.has_one_base = plan.has_one_base;
  return {least->rank.least, place};
}

std::int64_t most_ranks_on_machine(const Plan& plan) {
  const MemoryNeed least = tightest_place(plan).first;
  const std::uint64_t once = plan.has_one_base ? least.base : 0;
  const std::uint64_t left = plan.device.memory_bytes > once ? plan.device.memory_bytes - once : 0;
  return static_cast<std::int64_t>(left / std::max<std::uint64_t>(1, least.total() - once));
}

std::uint64_t most_bytes_on_machine(const Plan& plan) {
  std::uint64_t most = 0;
  for (const GroupCost& group : plan.groups) most = std::max(most, group.rank.memory_bytes());
  const bool together = plan.device.is_cpu && plan.nodes_given;
  const auto ranks = static_cast<std::uint64_t>(together ? plan.nodes.most_ranks() : 1);
  const std::uint64_t spared = plan.has_one_base ? plan.groups.front().rank.base_bytes : 0;
  return most * ranks - spared * (ranks - 1);
}

std::string flops_formula(const Plan& plan) {
  const auto millions = [](std::int64_t count) { return static_cast<double>(count) * 1e-6; };
  std::string text = wrapped(
      fmt::format("FLOPs per token and member: 4 N + 6 A, with N = {:.2f} M weights of the adapted layers (forward and "
                  "input gradient, 2 each; frozen weights have no gradient) and A = {:.3f} M adapter parameters. "
                  "Attention's products between positions and the output head are left out.",
                  millions(plan.adapted_weights), millions(plan.parameters)),
      kTerminalColumns, 0);
  if (plan.below_layers > 0) {
    text += wrapped(
        fmt::format("{} below the lowest adapter: 2 x {:.2f} M more per token, once for all members that share it, and "
                    "nothing while the prefix cache holds the result; not in the table.",
                    plan.below_layers == 1 ? "The layer" : fmt::format("The {} layers", plan.below_layers),
                    millions(plan.below_weights)),
        kTerminalColumns, 0);
  }
  return text;
}

}  // namespace chorale
