// Whether members' predictions are cheaper with each one's adapters merged into the weights.
#pragma once

#include <cstdint>

#include "core/adapters/adapter_layout.hpp"
#include "core/weights/model_config.hpp"

namespace chorale {

enum class Merging { never, when_less_work, always };

/// Predictions of all members of a bank over rows that are the same for each.
struct PredictionWork {
  std::int64_t members = 1;
  std::int64_t rows = 0;            // tokens, of one member
  std::int64_t layers_again = 0;    // frozen ones whose output is not kept: all members but the first run them again
  std::uint64_t element_bytes = 4;  // of weights and activations
  bool on_gpu = false;
  bool streams_again = true;  // adapters read frozen products' inputs and results from memory once more
};

/// Floating-point operations, and what moving bytes through memory takes in operations of a frozen product, that the
/// members' adapters add to a pass of the base alone.
struct AdapterCost {
  double beside = 0.0;  // low-rank products beside the frozen ones, all members in one pass
  double merged = 0.0;  // each member's weights made once, then the base's own products
};

/// Counts, per adapted product of in -> out with r columns of rank: beside, for each row, 2 r (in + out) operations,
/// its input read and its result read and written once more (where they are); merged, for each member, 2 r in out
/// operations and the weight moved a few times (copied, added to; on a CPU laid out for the product again), and the
/// frozen layers that must run again.
[[nodiscard]] AdapterCost adapter_cost(const ModelConfig& model, const AdapterLayout& layout, std::int64_t rank,
                                       const PredictionWork& work);

/// Bytes of the weights that are there a second time while a member is merged.
[[nodiscard]] std::uint64_t merged_bytes(const AdapterLayout& layout, std::uint64_t element_bytes);

}  // namespace chorale
