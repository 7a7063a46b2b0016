// Rotary embedding and attention over sequences packed into rows.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/kernels/sequence_layout.hpp"

namespace chorale {

struct FlashPlan;

struct HeadShape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  // divides heads; query head h looks at key/value head h / (heads / kv_heads)
  std::int64_t head_dim = 0;  // even
};

/// Which rows ask, and what every row's position turns into. Built once per batch and shared by its layers.
struct AttentionPlan : torch::CustomClassHolder {
  SequenceLayout layout;
  std::vector<std::int64_t> query_rows;            // ascending inside a stream
  std::vector<std::int64_t> query_spans;           // span of each query row, or -1 for padding
  std::vector<std::int64_t> query_offsets;         // [streams + 1] into query_rows
  at::Tensor cosine;                               // [rows, head_dim / 2], the compute type (float32 for bfloat16)
  at::Tensor sine;                                 // same
  mutable at::Tensor mask;                         // [queries, rows] bool, made when the plain twin first needs it
  mutable std::shared_ptr<const FlashPlan> flash;  // made when flash attention is first asked for

  /// Every tensor of the plan that is there already, in a fixed order.
  [[nodiscard]] std::vector<at::Tensor> tensors() const;
  /// What besides the tensors' shapes decides the device's work.
  [[nodiscard]] std::vector<std::int64_t> shape() const;
  /// Becomes the plan of another batch of the same shapes, with this plan's tensors refilled where they are.
  void take(const AttentionPlan& other);
};
using AttentionPlanPtr = c10::intrusive_ptr<AttentionPlan>;

/// Plan in which `query_rows` ask (all rows when null). Cosine and sine are filled by the caller.
[[nodiscard]] AttentionPlanPtr make_attention_plan(const SequenceLayout& layout,
                                                   const std::vector<std::int64_t>* query_rows);

/// softmax(q k^T / sqrt(head_dim)) v after rotating q and k by their positions (half-split pairs, arXiv 2104.09864).
///
/// `queries`: [queries, heads*head_dim] when `keys_values` is given, [rows, kv_heads*head_dim] keys beside as many
/// values; or, with `keys_values` undefined, [rows, (heads + 2*kv_heads)*head_dim] with q, k and v side by side and
/// every row asking. Result [queries, heads*head_dim]; zero for padding rows. Differentiable in both.
///
/// On the CPU in float32 and float64 one fused kernel; on CUDA in bfloat16 our rotary kernel and torch's flash
/// attention, but for sequences that ask at positions with gaps between them; elsewhere the plain twin.
/// `may_overwrite`: nobody needs the inputs' values any more (they are no leaves and their own backward pass does not
/// look at them), so that rotating may happen in place, and gradients may go where they stood: backward once only.
[[nodiscard]] at::Tensor attention(const at::Tensor& queries, const at::Tensor& keys_values,
                                   const AttentionPlanPtr& plan, const HeadShape& shape, bool may_overwrite = false);

/// The plain twin: torch's own operations under a mask over all rows.
[[nodiscard]] at::Tensor attention_plain(const at::Tensor& queries, const at::Tensor& keys_values,
                                         const AttentionPlanPtr& plan, const HeadShape& shape);

}  // namespace chorale
