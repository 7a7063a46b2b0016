// torch's flash attention (arXiv 2307.08691) over sequences of many lengths laid end to end, and its plain twin. The
// one file that knows the operators' schema, which changes from version to version of torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace chorale {

/// Sequence i asks with queries [query_offsets[i], query_offsets[i+1]) and is looked up in keys [key_offsets[i],
/// key_offsets[i+1]); its queries are its last positions: query j of n sees all but the last n-1-j keys;
/// or, not causal, each sees all of them. Keys behind the last offset belong to no sequence.
struct FlashSequences {
  at::Tensor query_offsets;  // [sequences + 1] int32, on the device
  at::Tensor key_offsets;    // same
  std::int64_t longest_query = 0;
  std::int64_t longest_key = 0;
  bool causal = true;
};

/// What the backward pass needs again.
struct FlashResult {
  at::Tensor out;      // [queries, heads, head_dim]
  at::Tensor log_sum;  // [heads, queries] float32
  at::Tensor state, unused;
};

struct FlashGradients {
  at::Tensor q, k, v;
};

/// Whether these shapes have a kernel: bfloat16, head_dim a multiple of 8 up to 256.
[[nodiscard]] bool flash_attention_takes(at::ScalarType type, std::int64_t head_dim);

/// softmax(q k^T / sqrt(head_dim)) v. Queries without keys have no result. q: [queries, heads, head_dim]; k, v: [keys,
/// kv_heads, head_dim], unit stride last; kv_heads divides heads. On the CPU the plain twin. Not differentiable.
[[nodiscard]] FlashResult flash_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                          const FlashSequences& sequences);

/// Gradients for `dout` of out's shape. On a GPU sums in dq are added in no fixed order unless torch's deterministic
/// algorithms are on.
[[nodiscard]] FlashGradients flash_attention_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k,
                                                      const at::Tensor& v, const FlashResult& result,
                                                      const FlashSequences& sequences);

}  // namespace chorale
