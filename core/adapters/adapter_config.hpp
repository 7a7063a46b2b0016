// The recipe's `adapter` section after validation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace chorale {

enum class AdapterScaling { standard, rank_stabilised };  // alpha/r, alpha/sqrt(r)

/// The linear layers of a decoder layer that can carry an adapter, in canonical order.
inline const std::vector<std::string> kAdapterTargets = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                         "gate_proj", "up_proj", "down_proj"};

struct AdapterConfig {
  std::string kind = "lora";
  std::int64_t rank = 8;
  double alpha = 16.0;
  AdapterScaling scaling = AdapterScaling::standard;
  double dropout = 0.0;
  std::vector<std::string> targets = {"q_proj", "v_proj"};  // subset of kAdapterTargets, canonical order, no repeats
  std::vector<std::int64_t> layers;                         // ascending, no repeats; empty: all layers
};

/// The factor in front of B*A: alpha/rank, or alpha/sqrt(rank) when rank-stabilised (arXiv 2312.03732).
[[nodiscard]] double adapter_scale(const AdapterConfig& config);

}  // namespace chorale
