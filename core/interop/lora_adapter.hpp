// One LoRA adapter in memory, wherever it came from: the linears it changes, with a rank and a factor each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/adapters/adapter_config.hpp"

namespace chorale {

/// What an adapter adds at one linear: scale * B A x.
struct LoraFactors {
  std::string module;  // Hugging Face's path, e.g. model.layers.20.self_attn.q_proj
  std::string target;  // q_proj, ...
  std::int64_t layer = 0;
  std::int64_t rank = 0;
  double scale = 1.0;    // alpha/rank or alpha/sqrt(rank), of this linear
  std::vector<float> a;  // [rank, in], row-major
  std::vector<float> b;  // [out, rank], row-major
};

/// A checked adapter: its sites are linears of the base it was read for, in the order of AdapterLayout, at least one.
struct LoraAdapter {
  std::string directory;
  /// Rank, alpha and scaling as its file states them; a site's own may differ (see `uniform`).
  std::int64_t rank = 0;
  double alpha = 0.0;
  AdapterScaling scaling = AdapterScaling::standard;
  bool uniform = true;  // every site has the rank and the scale that these three give
  std::vector<LoraFactors> sites;
};

}  // namespace chorale
