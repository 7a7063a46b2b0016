// Where every adapter factor lies in a member's row of the flat parameter buffer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/adapters/adapter_config.hpp"
#include "core/kernels/adapted_linear.hpp"
#include "core/model/linear_hook.hpp"
#include "core/weights/model_config.hpp"

namespace chorale {

/// One adapted linear of one layer.
struct AdapterSite {
  std::string module;  // Hugging Face's path, e.g. model.layers.20.self_attn.q_proj
  std::string target;  // q_proj, ...
  std::int64_t layer = 0;
  std::uint32_t index = 0;  // position in sites(): keys the random numbers
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t a_offset = 0;  // A [rank, in], row-major, in a member's row
  std::int64_t b_offset = 0;  // B [out, rank], row-major
};

/// The adapted linears of one frozen product: their A factors lie one below the other, and so do their B factors.
struct AdapterSlot {
  std::int64_t layer = 0;
  LinearGroup group = LinearGroup::qkv;
  std::int64_t in = 0;
  std::int64_t out = 0;  // of the whole product, adapted or not
  std::int64_t a_offset = 0;
  std::int64_t a_rows = 0;  // linears * rank
  std::int64_t b_offset = 0;
  std::int64_t b_rows = 0;  // sum of the linears' outputs
  std::vector<AdaptedColumns> columns;
};

/// A pure function of model and adapter configuration: equal on every rank and after a resume.
class AdapterLayout {
 public:
  /// Throws UsageError for a layer the model does not have.
  AdapterLayout(const ModelConfig& model, const AdapterConfig& adapter);

  [[nodiscard]] const std::vector<AdapterSite>& sites() const { return sites_; }
  [[nodiscard]] const std::vector<AdapterSlot>& slots() const { return slots_; }
  /// Slot of a frozen product, or nullptr when none of its linears is adapted.
  [[nodiscard]] const AdapterSlot* find(std::int64_t layer, LinearGroup group) const;
  /// Parameters of one member.
  [[nodiscard]] std::int64_t parameters() const { return parameters_; }
  /// Lowest adapted layer: everything below runs once for all members, without gradients.
  [[nodiscard]] std::int64_t lowest_layer() const { return slots_.front().layer; }

 private:
  std::vector<AdapterSite> sites_;
  std::vector<AdapterSlot> slots_;
  std::int64_t parameters_ = 0;
};

/// Input and output size of a linear of a decoder layer.
struct LinearShape {
  std::int64_t in = 0;
  std::int64_t out = 0;
};
[[nodiscard]] LinearShape linear_shape(const ModelConfig& model, std::string_view linear);

/// Weights of one decoder layer's linears.
[[nodiscard]] std::int64_t layer_weights(const ModelConfig& model);

}  // namespace chorale
