#include "core/model/decoder.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/kernels/attention.hpp"
#include "core/kernels/device_kernels.hpp"
#include "core/kernels/rms_norm.hpp"
#include "core/kernels/swiglu.hpp"
#include "core/model/recomputed.hpp"
#include "core/model/upload.hpp"

namespace chorale {
namespace {

// The type of the frozen products' inputs and results. On a CPU bfloat16 is for the products alone (frozen_linear.hpp):
// everything between them is as quick in float32, where no device kernels work on bfloat16.
at::ScalarType activation_type(const DecoderOptions& options) {
  const bool products_alone =
      options.device.is_cpu() && options.dtype == at::kBFloat16 && !DeviceKernels(options.device);
  return products_alone ? at::kFloat : options.dtype;
}

std::vector<std::int64_t> bits_of(const std::vector<std::uint64_t>& keys) {
  return {keys.begin(), keys.end()};
}

}  // namespace

at::ScalarType Decoder::activation_dtype() const {
  return activation_type(options_);
}

PreparedBatch Decoder::prepare(const PackedBatch& batch) const {
  CHORALE_ASSERT(batch.layout.rows() == batch.rows(), "a batch's last stream was not ended");
  PreparedBatch ready;
  at::Tensor positions;
  Upload upload(options_.device);
  upload.add(positions, batch.positions);
  upload.add(ready.output_index, batch.output_rows);
  ready.rows.row_keys = batch.row_keys;
  for (const std::int64_t row : batch.output_rows) {
    ready.outputs.row_keys.push_back(batch.row_keys[static_cast<std::size_t>(row)]);
  }
  if (DeviceKernels(options_.device)) {
    upload.add(ready.rows.device_row_keys, bits_of(ready.rows.row_keys));
    upload.add(ready.outputs.device_row_keys, bits_of(ready.outputs.row_keys));
  }
  upload.send();
  rotations_.reach(batch.rows() == 0 ? 0 : *std::max_element(batch.positions.begin(), batch.positions.end()));
  const Rotations turn = rotations_.rows_of(positions);
  ready.all_rows = make_attention_plan(batch.layout, nullptr);
  ready.outputs_only = make_attention_plan(batch.layout, &batch.output_rows);
  for (const AttentionPlanPtr& plan : {ready.all_rows, ready.outputs_only}) {
    plan->cosine = turn.cosine;
    plan->sine = turn.sine;
  }
  ready.rows.stream_offsets = batch.layout.stream_offsets;
  ready.outputs.stream_offsets = batch.output_offsets;
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
                               const LinearHook* hook, Recompute recompute) const {
  // What a layer's feed-forward gives is added by the next layer's norm, in one pass.
  at::Tensor pending;
  for (std::int64_t layer = begin; layer < end; ++layer) {
    // The last layer comes first in the backward pass: kept or made again, its activations stand there all the same.
    if (recompute == Recompute::full && hook != nullptr && layer + 1 < config_.layers) {
      x = run_layer_twice(pending.defined() ? x + pending : x, batch, layer, *hook);
      pending = at::Tensor();
      continue;
    }
    Stream out = run_layer(x, pending, batch, layer, hook, recompute);
    x = out.residual;
    pending = out.pending;
  }
  return pending.defined() ? x + pending : x;
}

at::Tensor Decoder::run_layer_twice(const at::Tensor& x, const PreparedBatch& batch, std::int64_t index,
                                    const LinearHook& hook) const {
  std::vector<at::Tensor> inputs = hook.tensors_of(index, activation_type(options_));
  inputs.insert(inputs.begin(), x);
  const Stage layer = [this, &batch, index, &hook](const std::vector<at::Tensor>& tensors) {
    const auto own = hook.with_tensors(index, {tensors.begin() + 1, tensors.end()});
    const Stream out = run_layer(tensors.front(), at::Tensor(), batch, index, own.get(), Recompute::none);
    return out.residual + out.pending;
  };
  return recomputed(layer, inputs);
}

Decoder::Stream Decoder::run_layer(const at::Tensor& x, const at::Tensor& pending, const PreparedBatch& batch,
                                   std::int64_t index, const LinearHook* hook, Recompute recompute) const {
  const Layer& layer = layers_[static_cast<std::size_t>(index)];
  const bool last = index + 1 == config_.layers;
  const HeadShape shape{config_.heads, config_.kv_heads, config_.head_dim};
  const auto linear = [&](LinearGroup group, const FrozenLinear& frozen, const at::Tensor& input, const RowScope& scope,
                          const InputOrigin& origin = {}) {
    return hook != nullptr ? hook->linear(index, group, frozen, input, scope, origin) : frozen.forward(input);
  };
  const auto normed_sum = [&](const at::Tensor& input, const at::Tensor& added, const at::Tensor& weight) {
    if (!added.defined())
      return ResidualNorm{input, rms_norm(input, weight, config_.rms_epsilon, activation_type(options_))};
    return add_rms_norm(input, added, weight, config_.rms_epsilon, activation_type(options_));
  };
  // What norms and the activation give is made again where light recompute is asked for.
  const bool again = recompute == Recompute::light && hook != nullptr;
  const auto from_norm = [&](const at::Tensor& input, const at::Tensor& weight) {
    if (!again) return InputOrigin();
    return InputOrigin{input.detach(),
                       [weight, epsilon = config_.rms_epsilon, type = activation_type(options_)](
                           const at::Tensor& source) { return rms_norm(source, weight, epsilon, type); }};
  };

  // Attention. In the last layer only output rows ask, but every row may be looked at.
  const RowScope& scope = last ? batch.outputs : batch.rows;
  const auto [before, normed] = normed_sum(x, pending, layer.attention_norm);
  const InputOrigin origin = from_norm(before, layer.attention_norm);
  at::Tensor attended;
  at::Tensor residual = before;
  if (last) {
    const at::Tensor keys_values = linear(LinearGroup::kv, layer.kv, normed, batch.rows, origin);
    const at::Tensor asking = normed.index_select(0, batch.output_index);
    residual = before.index_select(0, batch.output_index);
    const at::Tensor queries =
        linear(LinearGroup::q, layer.q, asking, scope, from_norm(residual, layer.attention_norm));
    attended = attention(queries, keys_values, batch.outputs_only, shape, /*may_overwrite=*/true);
  } else {
    const at::Tensor qkv = linear(LinearGroup::qkv, layer.qkv, normed, scope, origin);
    attended = attention(qkv, at::Tensor(), batch.all_rows, shape, /*may_overwrite=*/true);
  }

  // Feed-forward.
  const auto [between, input] =
      normed_sum(residual, linear(LinearGroup::o, layer.o, attended, scope), layer.feed_forward_norm);
  const at::Tensor gate_up =
      linear(LinearGroup::gate_up, layer.gate_up, input, scope, from_norm(between, layer.feed_forward_norm));
  const InputOrigin activation =
      again ? InputOrigin{gate_up.detach(), [](const at::Tensor& source) { return swiglu(source); }} : InputOrigin();
  const at::Tensor activated = swiglu(gate_up, /*may_overwrite=*/true);
  return {between, linear(LinearGroup::down, layer.down, activated, scope, activation)};
}

at::Tensor Decoder::final_norm(const at::Tensor& x) const {
  return rms_norm(x, final_norm_, config_.rms_epsilon, activation_type(options_));
}

}  // namespace chorale
