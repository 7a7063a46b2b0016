#include "core/kernels/flash_attention.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/ones.h>
#include <torch/csrc/api/include/torch/version.h>

#include <cmath>
#include <limits>

namespace chorale {
namespace {

static_assert(TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 11,
              "the operators below are called as torch 2.11 declares them; compare the schema before moving on");

// One sequence of the plain twin, in float32: matrices by head, [heads, rows, head_dim].
struct Sequence {
  std::int64_t first_query, queries, first_key, keys;
};

template <typename Body>
void for_sequences(const FlashSequences& sequences, const Body& body) {
  const auto* q = sequences.query_offsets.const_data_ptr<std::int32_t>();
  const auto* k = sequences.key_offsets.const_data_ptr<std::int32_t>();
  for (std::int64_t i = 0; i + 1 < sequences.query_offsets.size(0); ++i) {
    if (q[i + 1] > q[i] && k[i + 1] > k[i]) body(Sequence{q[i], q[i + 1] - q[i], k[i], k[i + 1] - k[i]});
  }
}

at::Tensor by_head(const at::Tensor& x, std::int64_t first, std::int64_t rows, std::int64_t heads) {
  return x.narrow(0, first, rows).to(at::kFloat).repeat_interleave(heads / x.size(1), 1).transpose(0, 1);
}

at::Tensor scores_of(const at::Tensor& q, const at::Tensor& k, bool causal) {
  const std::int64_t queries = q.size(1);
  const std::int64_t keys = k.size(1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(2)));
  at::Tensor scores = at::bmm(q, k.transpose(1, 2)) * scale;
  if (!causal) return scores;
  const at::Tensor hidden = at::ones({queries, keys}, at::kBool).triu(keys - queries + 1);
  return scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
}

FlashResult plain(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const FlashSequences& sequences) {
  const std::int64_t heads = q.size(1);
  FlashResult result;
  result.out = at::empty(q.sizes(), q.options());
  result.log_sum = at::empty({heads, q.size(0)}, q.options().dtype(at::kFloat));
  for_sequences(sequences, [&](const Sequence& s) {
    const at::Tensor scores = scores_of(by_head(q, s.first_query, s.queries, heads),
                                        by_head(k, s.first_key, s.keys, heads), sequences.causal);
    const at::Tensor total = at::logsumexp(scores, {2});
    const at::Tensor out = at::bmm((scores - total.unsqueeze(2)).exp(), by_head(v, s.first_key, s.keys, heads));
    result.out.narrow(0, s.first_query, s.queries).copy_(out.transpose(0, 1));
    result.log_sum.narrow(1, s.first_query, s.queries).copy_(total);
  });
  return result;
}

FlashGradients plain_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const FlashResult& result, const FlashSequences& sequences) {
  const std::int64_t heads = q.size(1);
  const std::int64_t group = heads / k.size(1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(2)));
  FlashGradients gradients{at::empty(q.sizes(), q.options()), at::empty(k.sizes(), k.options()),
                           at::empty(v.sizes(), v.options())};
  const auto put = [&](at::Tensor& where, std::int64_t first, const at::Tensor& by_heads, bool shared) {
    at::Tensor rows = by_heads.transpose(0, 1);  // [rows, heads, head_dim]
    if (shared) rows = rows.unflatten(1, {heads / group, group}).sum(2);
    where.narrow(0, first, rows.size(0)).copy_(rows);
  };
  for_sequences(sequences, [&](const Sequence& s) {
    const at::Tensor q_s = by_head(q, s.first_query, s.queries, heads);
    const at::Tensor k_s = by_head(k, s.first_key, s.keys, heads);
    const at::Tensor v_s = by_head(v, s.first_key, s.keys, heads);
    const at::Tensor d = by_head(dout, s.first_query, s.queries, heads);
    const at::Tensor out = by_head(result.out, s.first_query, s.queries, heads);
    const at::Tensor total = result.log_sum.narrow(1, s.first_query, s.queries).unsqueeze(2);
    const at::Tensor p = (scores_of(q_s, k_s, sequences.causal) - total).exp();
    const at::Tensor ds = p * (at::bmm(d, v_s.transpose(1, 2)) - (d * out).sum(2, /*keepdim=*/true)) * scale;
    put(gradients.q, s.first_query, at::bmm(ds, k_s), false);
    put(gradients.k, s.first_key, at::bmm(ds.transpose(1, 2), q_s), true);
    put(gradients.v, s.first_key, at::bmm(p.transpose(1, 2), d), true);
  });
  return gradients;
}

}  // namespace

bool flash_attention_takes(at::ScalarType type, std::int64_t head_dim) {
  return type == at::kBFloat16 && head_dim % 8 == 0 && head_dim <= 256;
}

FlashResult flash_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const FlashSequences& sequences) {
  if (q.is_cpu()) return plain(q, k, v, sequences);
  auto [out, log_sum, state, unused, debug] = at::_flash_attention_forward(
      q, k, v, sequences.query_offsets, sequences.key_offsets, sequences.longest_query, sequences.longest_key,
      /*dropout_p=*/0.0, sequences.causal, /*return_debug_mask=*/false);
  return {out, log_sum, state, unused};
}

FlashGradients flash_attention_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k,
                                        const at::Tensor& v, const FlashResult& result,
                                        const FlashSequences& sequences) {
  if (q.is_cpu()) return plain_backward(dout, q, k, v, result, sequences);
  auto [dq, dk, dv] =
      at::_flash_attention_backward(dout, q, k, v, result.out, result.log_sum, sequences.query_offsets,
                                    sequences.key_offsets, sequences.longest_query, sequences.longest_key,
                                    /*dropout_p=*/0.0, sequences.causal, result.state, result.unused);
  return {dq, dk, dv};
}

}  // namespace chorale
