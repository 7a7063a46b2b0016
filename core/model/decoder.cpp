#include "core/model/decoder.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/kernels/attention.hpp"
#include "core/kernels/rms_norm.hpp"
#include "core/kernels/swiglu.hpp"
#include "core/model/upload.hpp"

namespace chorale {

PreparedBatch Decoder::prepare(const PackedBatch& batch) const {
  CHORALE_ASSERT(batch.layout.rows() == batch.rows(), "a batch's last stream was not ended");
  PreparedBatch ready;
  at::Tensor positions;
  Upload upload(options_.device);
  upload.add(positions, batch.positions);
  upload.add(ready.output_index, batch.output_rows);
  upload.send();
  rotations_.reach(batch.rows() == 0 ? 0 : *std::max_element(batch.positions.begin(), batch.positions.end()));
  const Rotations turn = rotations_.rows_of(positions);
  ready.all_rows = make_attention_plan(batch.layout, nullptr);
  ready.outputs_only = make_attention_plan(batch.layout, &batch.output_rows);
  for (const AttentionPlanPtr& plan : {ready.all_rows, ready.outputs_only}) {
    plan->cosine = turn.cosine;
    plan->sine = turn.sine;
  }
  ready.rows = {batch.layout.stream_offsets, batch.row_keys};
  ready.outputs.stream_offsets = batch.output_offsets;
  for (const std::int64_t row : batch.output_rows) {
    ready.outputs.row_keys.push_back(batch.row_keys[static_cast<std::size_t>(row)]);
  }
  return ready;
}

at::Tensor Decoder::embed(const std::vector<std::int32_t>& tokens) const {
  for (const std::int32_t token : tokens) {
    CHORALE_ASSERT(token >= 0 && token < config_.vocabulary, "a token id outside the vocabulary got this far");
  }
  at::Tensor index;
  Upload upload(options_.device);
  upload.add(index, std::vector<std::int64_t>(tokens.begin(), tokens.end()));
  upload.send();
  return embedding_.index_select(0, index).to(residual_dtype());
}

at::Tensor Decoder::run_layers(at::Tensor x, const PreparedBatch& batch, std::int64_t begin, std::int64_t end,
                               const LinearHook* hook) const {
  for (std::int64_t layer = begin; layer < end; ++layer) x = run_layer(x, batch, layer, hook);
  return x;
}

at::Tensor Decoder::run_layer(const at::Tensor& x, const PreparedBatch& batch, std::int64_t index,
                              const LinearHook* hook) const {
  const Layer& layer = layers_[static_cast<std::size_t>(index)];
  const bool last = index + 1 == config_.layers;
  const HeadShape shape{config_.heads, config_.kv_heads, config_.head_dim};
  const auto linear = [&](LinearGroup group, const FrozenLinear& frozen, const at::Tensor& input,
                          const RowScope& scope) {
    return hook != nullptr ? hook->linear(index, group, frozen, input, scope) : frozen.forward(input);
  };
  const auto norm = [&](const at::Tensor& input, const at::Tensor& weight) {
    return rms_norm(input, weight, config_.rms_epsilon, options_.dtype);
  };

  // Attention. In the last layer only output rows ask, but every row may be looked at.
  const RowScope& scope = last ? batch.outputs : batch.rows;
  const at::Tensor normed = norm(x, layer.attention_norm);
  at::Tensor attended;
  at::Tensor residual = x;
  if (last) {
    const at::Tensor keys_values = linear(LinearGroup::kv, layer.kv, normed, batch.rows);
    const at::Tensor asking = normed.index_select(0, batch.output_index);
    const at::Tensor queries = linear(LinearGroup::q, layer.q, asking, scope);
    attended = attention(queries, keys_values, batch.outputs_only, shape);
    residual = x.index_select(0, batch.output_index);
  } else {
    const at::Tensor qkv = linear(LinearGroup::qkv, layer.qkv, normed, scope);
    attended = attention(qkv, at::Tensor(), batch.all_rows, shape);
  }
  residual = residual + linear(LinearGroup::o, layer.o, attended, scope);

  // Feed-forward.
  const at::Tensor gate_up =
      linear(LinearGroup::gate_up, layer.gate_up, norm(residual, layer.feed_forward_norm), scope);
  return residual + linear(LinearGroup::down, layer.down, swiglu(gate_up), scope);
}

at::Tensor Decoder::final_norm(const at::Tensor& x) const {
  return rms_norm(x, final_norm_, config_.rms_epsilon, options_.dtype);
}

}  // namespace chorale
