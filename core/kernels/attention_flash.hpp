// Attention over packed rows by our rotary kernel and flash attention.
#pragma once

#include <memory>

#include "core/kernels/attention.hpp"
#include "core/kernels/flash_attention.hpp"

namespace chorale {

/// An AttentionPlan as flash attention sees it: sequences of consecutive queries, each with keys of its own.
struct FlashPlan {
  bool possible = false;  // false: sequences share prompts, or ask at positions with gaps between them
  FlashSequences sequences;
  at::Tensor key_rows;                  // rows that are keys, in the sequences' order; undefined: all, as they lie
  at::Tensor padding_queries;           // queries without a sequence; undefined: none
  at::Tensor padding_rows;              // their rows; undefined: none
  at::Tensor query_cosine, query_sine;  // of the queries' rows; the plan's own when every row asks
};

/// Made once per plan, from host data alone, and kept with it.
[[nodiscard]] const FlashPlan& flash_plan_of(const AttentionPlan& plan, c10::Device device);

/// bfloat16 with our kernels at hand and a plan without shared prompts.
[[nodiscard]] bool attention_flash_takes(const at::Tensor& queries, const AttentionPlan& plan, const HeadShape& shape);

/// attention() (attention.hpp) for what attention_flash_takes.
[[nodiscard]] at::Tensor attention_flash(const at::Tensor& queries, const at::Tensor& keys_values,
                                         const AttentionPlanPtr& plan, const HeadShape& shape, bool may_overwrite);

}  // namespace chorale
