// Where adapters enter the decoder, without the decoder knowing any kind of adapter.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/kernels/frozen_linear.hpp"
#include "core/kernels/input_origin.hpp"
#include "core/model/packed_batch.hpp"

namespace chorale {

/// Frozen linears that share their input are multiplied as one. In the last layer queries are needed for output rows
/// only, so q stands alone there.
enum class LinearGroup { qkv, q, kv, o, gate_up, down };

/// The linears of a group, in the order of their output columns, by Hugging Face's short names.
[[nodiscard]] const std::vector<std::string_view>& linears_of(LinearGroup group);

/// The groups a layer is computed in.
[[nodiscard]] const std::vector<LinearGroup>& groups_of_layer(bool last_layer);

/// Stands between the decoder and its frozen linears while members differ.
class LinearHook {
 public:
  LinearHook() = default;
  LinearHook(const LinearHook&) = delete;
  LinearHook& operator=(const LinearHook&) = delete;
  virtual ~LinearHook() = default;

  /// frozen.forward(x) plus whatever is added for each member. x: [rows, in]; scope tells the rows' members; origin, if
  /// not empty, how to make x again instead of keeping it.
  [[nodiscard]] virtual at::Tensor linear(std::int64_t layer, LinearGroup group, const FrozenLinear& frozen,
                                          const at::Tensor& x, const RowScope& scope,
                                          const InputOrigin& origin) const = 0;

  /// The tensors that a layer's linears take besides their inputs (of `type`) and that have gradients.
  [[nodiscard]] virtual std::vector<at::Tensor> tensors_of(std::int64_t layer, at::ScalarType type) const = 0;
  /// The same hook with other tensors for this layer, in the order of tensors_of: for running the layer again.
  [[nodiscard]] virtual std::unique_ptr<LinearHook> with_tensors(std::int64_t layer,
                                                                 const std::vector<at::Tensor>& tensors) const = 0;
};

}  // namespace chorale
