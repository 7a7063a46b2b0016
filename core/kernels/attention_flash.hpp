// Attention over packed rows by our rotary kernel and flash attention.
#pragma once

#include <memory>
#include <vector>

#include "core/kernels/attention.hpp"
#include "core/kernels/flash_attention.hpp"

namespace chorale {

/// An AttentionPlan as a device sees it: index tensors, and for flash attention sequences of consecutive queries, each
/// with keys of its own. Every stream has a last sequence for its padding, perhaps empty, so that batches of equally
/// many sequences are the same work.
struct FlashPlan {
  at::Tensor query_index;  // [queries] int64: the rows that ask
  at::Tensor real;         // [queries] bool: those that are no padding

  bool possible = false;  // false: sequences share prompts, or ask at positions with gaps between them. Else:
  FlashSequences sequences;
  bool padded = false;  // some queries are padding
  at::Tensor
      key_rows;  // [rows] int64: the rows as keys in the sequences' order, unused ones last; undefined: as they lie
  at::Tensor unused;                    // [rows] bool, with key_rows: rows nobody looks at
  at::Tensor query_cosine, query_sine;  // of the rows that ask; the plan's own when every row does

  /// Every tensor, in a fixed order.
  [[nodiscard]] std::vector<at::Tensor> tensors() const;
};

/// Made once per plan, from host data alone, and kept with it.
[[nodiscard]] const FlashPlan& flash_plan_of(const AttentionPlan& plan, c10::Device device);

/// What besides its tensors' shapes tells one FlashPlan's work from another's.
[[nodiscard]] std::vector<std::int64_t> flash_shape_of(const AttentionPlan& plan);

/// bfloat16 with our kernels at hand and a plan without shared prompts.
[[nodiscard]] bool attention_flash_takes(const at::Tensor& queries, const AttentionPlan& plan, const HeadShape& shape);

/// attention() (attention.hpp) for what attention_flash_takes. The backward pass takes the gradients of padding rows'
/// results to be zero, as they are when nobody uses those.
[[nodiscard]] at::Tensor attention_flash(const at::Tensor& queries, const at::Tensor& keys_values,
                                         const AttentionPlanPtr& plan, const HeadShape& shape, bool may_overwrite);

}  // namespace chorale
