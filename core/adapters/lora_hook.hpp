// LoRA at the decoder's linears, for one pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/adapters/adapter_config.hpp"
#include "core/adapters/adapter_layout.hpp"
#include "core/kernels/dropout.hpp"
#include "core/model/linear_hook.hpp"

namespace chorale {

/// Gradients that a pass adds to a buffer itself, instead of handing them back through autograd.
struct GradientSink {
  at::Tensor buffer;         // [members, layout.parameters()], on the CPU
  bool add = false;          // to what stands there; false: everything is overwritten
  std::int64_t written = 0;  // products whose adapters' gradients have been written
};

/// Adds scale * B A x of each member to the frozen products that carry adapters.
class LoraHook : public LinearHook {
 public:
  /// leaf: [members, layout.parameters()]. dropout: the rate in force for this pass (0 when evaluating).
  LoraHook(const AdapterLayout& layout, const AdapterConfig& config, const at::Tensor& leaf, double dropout,
           DropoutKey key);
  /// From here on the gradients go to `sink`, which must outlive the backward pass, and not to the leaf. What the hook
  /// adds is differentiable in `anchor`, which requires gradients and gets none, so that a backward pass comes by.
  void send_gradients(GradientSink& sink, const at::Tensor& anchor);

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
  GradientSink* sink_ = nullptr;
  at::Tensor anchor_;
  mutable std::vector<at::Tensor> pieces_;  // A and B of slot i at 2i and 2i+1, [members, size], in the products' type
};

}  // namespace chorale
