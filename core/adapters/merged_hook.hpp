// One member's adapters inside the weights they adapt, for predictions.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/adapters/adapter_bank.hpp"
#include "core/model/linear_hook.hpp"

namespace chorale {

/// Multiplies with W + scale * B A, made for every adapted product when it is first met: one product where LoraHook
/// takes three. The sum is rounded to the weights' type once, which in bfloat16 costs about what rounding a product
/// costs. Dropout is off; nothing is differentiable. Not for weights held in fewer bits.
class MergedHook : public LinearHook {
 public:
  /// member: position in bank.members(). The bank must outlive this and not change meanwhile.
  MergedHook(const AdapterBank& bank, std::int64_t member);

  [[nodiscard]] at::Tensor linear(std::int64_t layer, LinearGroup group, const FrozenLinear& frozen,
                                  const at::Tensor& x, const RowScope& scope, const InputOrigin& origin) const override;
  /// None: nothing has gradients.
  [[nodiscard]] std::vector<at::Tensor> tensors_of(std::int64_t layer, at::ScalarType type) const override;
  /// InternalError: a layer runs again for gradients alone.
  [[nodiscard]] std::unique_ptr<LinearHook> with_tensors(std::int64_t layer,
                                                         const std::vector<at::Tensor>& tensors) const override;

 private:
  [[nodiscard]] FrozenLinear merged(const AdapterSlot& slot, const FrozenLinear& frozen) const;

  const AdapterBank& bank_;
  std::int64_t member_;
  mutable std::vector<std::optional<FrozenLinear>> merged_;  // by slot, once met
};

}  // namespace chorale
