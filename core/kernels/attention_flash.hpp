// Attention over packed rows by our rotary kernel and flash attention.
#pragma once

#include "core/kernels/attention.hpp"

namespace chorale {

/// bfloat16 with our kernels at hand and a plan without gaps (FlashPlan::possible).
[[nodiscard]] bool attention_flash_takes(const at::Tensor& queries, const AttentionPlan& plan, const HeadShape& shape);

/// attention() (attention.hpp) for what attention_flash_takes. The backward pass takes the gradients of padding rows'
/// results to be zero, as they are when nobody uses those.
[[nodiscard]] at::Tensor attention_flash(const at::Tensor& queries, const at::Tensor& keys_values,
                                         const AttentionPlanPtr& plan, const HeadShape& shape, bool may_overwrite);

}  // namespace chorale
