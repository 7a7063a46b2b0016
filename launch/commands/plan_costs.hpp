// What a training step costs each group of ranks, from the recipe, the base's shape and the data's lengths alone.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/training/pass_plan.hpp"
#include "core/weights/model_config.hpp"
#include "distributed/node_map.hpp"
#include "distributed/placement.hpp"
#include "launch/commands/plan_device.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/memory_check.hpp"

namespace chorale {

/// Rows (tokens that a decoder runs over) of the training examples.
struct ExampleRows {
  double mean = 0.0;
  std::int64_t longest = 0;
  std::int64_t shortest = 0;
  std::int64_t common = 0;    // of the prefix all examples share, once per member and batch
  std::int64_t examples = 0;  // of the training and validation sets together; 0: unknown
  std::string source;         // what they were taken from, for people
};

/// A rank of one group; of several the one with the largest share of the batch.
struct RankCost {
  std::int64_t examples = 0;  // of each member's batch
  PassSize pass;              // members and of these examples in one pass
  double tokens = 0.0;        // all its members
  double flops = 0.0;
  std::uint64_t base_bytes = 0;
  std::uint64_t adapter_bytes = 0;  // parameters, gradients, two moments; with early stopping the best so far too
  std::uint64_t activation_bytes = 0;
  std::uint64_t prefix_bytes = 0;  // at most, of the frozen layers' output kept for all examples
  MemoryNeed least;                // what it cannot do with less than

  [[nodiscard]] std::uint64_t memory_bytes() const {
    return base_bytes + adapter_bytes + activation_bytes + prefix_bytes;
  }
};

/// No step is shorter: arithmetic at the device's peak, and then the gradients, of which every rank has to send and
/// receive 2 (n-1)/n of their bytes for n ranks (Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms for
/// clusters of workstations, 2009), at the slowest link's. 0: not known.
struct StepBound {
  double compute_seconds = 0.0;
  double exchange_seconds = 0.0;

  [[nodiscard]] double seconds() const { return compute_seconds + exchange_seconds; }
};

struct GroupCost {
  double tokens = 0.0;  // per step, the group's ranks together
  double flops = 0.0;
  std::uint64_t reduced_bytes = 0;  // gradients each of its ranks gives into a sum per step; 0 for one rank
  bool crosses_nodes = false;
  StepBound bound;
  RankCost rank;
};

struct Plan {
  Placement placement;
  NodeMap nodes;
  bool nodes_given = false;  // else all ranks count as one machine's
  PlanDevice device;
  bool has_one_base = false;         // on each node, which all its ranks share
  std::int64_t weights = 0;          // of the base
  bool has_weights = true;           // false: there is only its shape
  std::int64_t parameters = 0;       // of one member's adapter
  std::int64_t below_layers = 0;     // layers below the lowest adapter: forward once, then kept in the prefix cache
  std::int64_t below_weights = 0;    // weights of their linears
  std::int64_t adapted_weights = 0;  // weights of the other layers' linears
  ExampleRows rows;
  std::vector<GroupCost> groups;
};

/// Throws UsageError for what a training would refuse: a layer the base lacks, a batch smaller than its group.
[[nodiscard]] Plan make_plan(const Recipe& recipe, const ModelConfig& model, const Placement& placement,
                             const NodeMap& nodes, const ExampleRows& rows, const PlanDevice& device);

/// The group whose ranks need most memory, and where its ranks are; without nodes given a single rank is looked at.
[[nodiscard]] std::pair<MemoryNeed, MemoryPlace> tightest_place(const Plan& plan);

/// How many ranks such as the lightest one machine can hold; 0: not known.
[[nodiscard]] std::int64_t most_ranks_on_machine(const Plan& plan);

/// What the ranks of one machine need at most: with batches of the longest examples, and everything kept that may be.
[[nodiscard]] std::uint64_t most_bytes_on_machine(const Plan& plan);

/// How FLOPs were counted, in lines of at most 80 columns.
[[nodiscard]] std::string flops_formula(const Plan& plan);

[[nodiscard]] nlohmann::ordered_json to_json(const Plan& plan);

/// Tables, runs of equal groups in one row, and totals: at most `columns`, at least 80.
[[nodiscard]] std::string plan_text(const Plan& plan, const std::string& name, std::size_t columns);

}  // namespace chorale
