// What a training step costs each group of ranks, from the recipe, the base's shape and the data's lengths alone.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/weights/model_config.hpp"
#include "distributed/placement.hpp"
#include "launch/recipe/recipe.hpp"

namespace chorale {

/// Rows (tokens that a decoder runs over) of the training examples.
struct ExampleRows {
  double mean = 0.0;
  std::int64_t longest = 0;
  std::int64_t common = 0;  // of the prefix all examples share, once per member and batch
  std::string source;       // what they were taken from, for people
};

/// A rank of one group; of several the one with the largest share of the batch.
struct RankCost {
  std::int64_t examples = 0;     // of each member's batch
  std::int64_t micro_batch = 0;  // of these, in one pass
  double tokens = 0.0;           // all its members
  double flops = 0.0;
  std::uint64_t base_bytes = 0;
  std::uint64_t adapter_bytes = 0;  // parameters, gradients, two moments; with early stopping the best so far too
  std::uint64_t activation_bytes = 0;

  [[nodiscard]] std::uint64_t memory_bytes() const { return base_bytes + adapter_bytes + activation_bytes; }
};

struct GroupCost {
  double tokens = 0.0;  // per step, the group's ranks together
  double flops = 0.0;
  std::uint64_t reduced_bytes = 0;  // gradients summed over its ranks per step; 0 for one rank
  RankCost rank;
};

struct Plan {
  Placement placement;
  std::string device;
  std::int64_t parameters = 0;       // of one member's adapter
  std::int64_t below_layers = 0;     // layers below the lowest adapter: forward once, then kept in the prefix cache
  std::int64_t below_weights = 0;    // weights of their linears
  std::int64_t adapted_weights = 0;  // weights of the other layers' linears
  ExampleRows rows;
  std::vector<GroupCost> groups;
};

/// `memory`: bytes of the machine a rank may count as its own, for an automatic micro-batch (0: no limit). Throws
/// UsageError for what a training would refuse: a layer the base lacks, a batch smaller than its group.
[[nodiscard]] Plan make_plan(const Recipe& recipe, const ModelConfig& model, const Placement& placement,
                             const ExampleRows& rows, std::uint64_t memory);

/// How FLOPs were counted, in lines of at most 80 columns.
[[nodiscard]] std::string flops_formula(const Plan& plan);

[[nodiscard]] nlohmann::ordered_json to_json(const Plan& plan);

/// Tables, runs of equal groups in one row, and totals: at most `columns`, at least 80.
[[nodiscard]] std::string plan_text(const Plan& plan, const std::string& name, std::size_t columns);

}  // namespace chorale
