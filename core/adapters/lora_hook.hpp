// LoRA at the decoder's linears, for one pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "core/adapters/adapter_config.hpp"
#include "core/adapters/adapter_layout.hpp"
#include "core/kernels/dropout.hpp"
#include "core/model/linear_hook.hpp"

namespace chorale {

/// Adds scale * B A x of each member to the frozen products that carry adapters.
class LoraHook : public LinearHook {
 public:
  /// leaf: [members, layout.parameters()]. dropout: the rate in force for this pass (0 when evaluating).
  LoraHook(const AdapterLayout& layout, const AdapterConfig& config, const at::Tensor& leaf, double dropout,
           DropoutKey key);

  [[nodiscard]] at::Tensor linear(std::int64_t layer, LinearGroup group, const FrozenLinear& frozen,
                                  const at::Tensor& x, const RowScope& scope, const InputOrigin& origin) const override;
  [[nodiscard]] std::vector<at::Tensor> tensors_of(std::int64_t layer, at::ScalarType type) const override;
  [[nodiscard]] std::unique_ptr<LinearHook> with_tensors(std::int64_t layer,
                                                         const std::vector<at::Tensor>& tensors) const override;

 private:
  [[nodiscard]] const std::vector<at::Tensor>& pieces(at::ScalarType type) const;

  const AdapterLayout& layout_;
  const AdapterConfig& config_;
  double dropout_;
  DropoutKey key_;
  at::Tensor leaf_;
  mutable std::vector<at::Tensor> pieces_;  // A and B of slot i at 2i and 2i+1, [members, size], in the products' type
};

}  // namespace chorale
