#include "core/inference/merging.hpp"

namespace chorale {
namespace {

// Operations of a large product in the time that a byte takes through memory: an H100 (700 TFLOP/s that products reach,
// 3 TB/s) and a server's CPU core (0.2 TFLOP/s in float32, 10 GB/s). Only their order of size matters.
constexpr double kPerByteOnGpu = 230.0;
constexpr double kPerByteOnCpu = 20.0;

// Times a weight passes through memory when adapters are merged into it: copied and added to, read and written each;
// on a CPU also out of its packed order and into it.
constexpr double kPassesOnGpu = 4.0;
constexpr double kPassesOnCpu = 6.0;

}  // namespace

AdapterCost adapter_cost(const ModelConfig& model, const AdapterLayout& layout, std::int64_t rank,
                         const PredictionWork& work) {
  const double per_byte = (work.on_gpu ? kPerByteOnGpu : kPerByteOnCpu) * static_cast<double>(work.element_bytes);
  const double passes = work.on_gpu ? kPassesOnGpu : kPassesOnCpu;
  const auto members = static_cast<double>(work.members);
  const auto rows = static_cast<double>(work.rows);
  AdapterCost cost;
  for (const AdapterSlot& slot : layout.slots()) {
    const auto in = static_cast<double>(slot.in);
    const auto out = static_cast<double>(slot.out);
    const auto adapted = static_cast<double>(slot.b_rows);
    const double factors = 2.0 * (static_cast<double>(slot.a_rows) * in + static_cast<double>(rank) * adapted);
    const double moved = work.streams_again ? in + 2.0 * adapted : 0.0;
    cost.beside += members * rows * (factors + per_byte * moved);
    cost.merged += members * (2.0 * static_cast<double>(rank) * in * adapted + per_byte * passes * in * out);
  }
  // A layer's products, and its activations written and read again.
  const std::int64_t activations =
      4 * model.hidden + 2 * (model.heads + model.kv_heads) * model.head_dim + 3 * model.feed_forward;
  const double layer =
      2.0 * static_cast<double>(layer_weights(model)) + per_byte * 2.0 * static_cast<double>(activations);
  cost.merged += (members - 1.0) * rows * static_cast<double>(work.layers_again) * layer;
  return cost;
}

std::uint64_t merged_bytes(const AdapterLayout& layout, std::uint64_t element_bytes) {
  std::uint64_t elements = 0;
  for (const AdapterSlot& slot : layout.slots()) elements += static_cast<std::uint64_t>(slot.in * slot.out);
  return elements * element_bytes;
}

}  // namespace chorale
