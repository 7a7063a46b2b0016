// Reading a decoder's weights: linears that share their input are laid one below the other as they are decoded.
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <span>

#include "core/base/errors.hpp"
#include "core/base/interruption.hpp"
#include "core/model/decoder.hpp"
#include "core/model/rotary.hpp"

namespace chorale {
namespace {

std::string linear_name(std::int64_t layer, std::string_view linear, const char* part) {
  const bool attention = linear[0] != 'g' && linear[0] != 'u' && linear[0] != 'd';
  return fmt::format("model.layers.{}.{}.{}.{}", layer, attention ? "self_attn" : "mlp", linear, part);
}

// The tensors one below the other, in float32 on the CPU.
at::Tensor read_stacked(const BaseFiles& files, const std::vector<std::string>& names) {
  std::vector<std::int64_t> shape = files.shape(names.front());
  std::int64_t rows = 0;
  for (const std::string& name : names) rows += files.shape(name)[0];
  shape[0] = rows;
  at::Tensor tensor = at::empty(shape, at::kFloat);
  auto* next = tensor.mutable_data_ptr<float>();
  for (const std::string& name : names) {
    std::size_t count = 1;
    for (const std::int64_t size : files.shape(name)) count *= static_cast<std::size_t>(size);
    files.read(name, std::span<float>(next, count));
    next += count;
  }
  return tensor;
}

}  // namespace

DecoderOptions decoder_options(BaseDtype dtype, at::Device device) {
  const at::ScalarType compute = device.is_cpu() ? at::kFloat : at::kBFloat16;
  switch (dtype) {
    case BaseDtype::float32:
      return {at::kFloat, device, LinearFormat::plain};
    case BaseDtype::bfloat16:
      return {at::kBFloat16, device, LinearFormat::plain};
    case BaseDtype::float8:
      return {compute, device, LinearFormat::float8};
    case BaseDtype::nf4:
      return {compute, device, LinearFormat::nf4};
  }
  throw InternalError("internal error: a base of an unknown dtype");
}

Decoder::Decoder(const BaseFiles& files, const DecoderOptions& options)
    : config_(files.config()),
      options_(options),
      rotations_(inverse_frequencies(files.config()), residual_dtype(), options.device),
      scratch_(std::make_shared<WeightScratch>()) {
  embedding_ = read(files, {"model.embed_tokens.weight"}, options_.dtype);
  head_ = config_.tied_head ? embedding_ : read(files, {"lm_head.weight"}, options_.dtype);
  final_norm_ = read(files, {"model.norm.weight"}, residual_dtype());
  layers_.reserve(static_cast<std::size_t>(config_.layers));
  for (std::int64_t i = 0; i < config_.layers; ++i) {
    stop_if_asked("layer");
    Layer layer;
    const auto norm = [&](const char* name) {
      return read(files, {fmt::format("model.layers.{}.{}.weight", i, name)}, residual_dtype());
    };
    layer.attention_norm = norm("input_layernorm");
    layer.feed_forward_norm = norm("post_attention_layernorm");
    if (i + 1 == config_.layers) {
      layer.q = read_linear(files, i, LinearGroup::q);
      layer.kv = read_linear(files, i, LinearGroup::kv);
    } else {
      layer.qkv = read_linear(files, i, LinearGroup::qkv);
    }
    layer.o = read_linear(files, i, LinearGroup::o);
    layer.gate_up = read_linear(files, i, LinearGroup::gate_up);
    layer.down = read_linear(files, i, LinearGroup::down);
    layers_.push_back(std::move(layer));
  }
  files.release_pages();
}

at::Tensor Decoder::read(const BaseFiles& files, const std::vector<std::string>& names, at::ScalarType type) const {
  return read_stacked(files, names).to(type).to(options_.device);
}

FrozenLinear Decoder::read_linear(const BaseFiles& files, std::int64_t layer, LinearGroup group) const {
  std::vector<std::string> weights;
  std::vector<std::string> biases;
  for (const std::string_view linear : linears_of(group)) {
    weights.push_back(linear_name(layer, linear, "weight"));
    if (files.has(linear_name(layer, linear, "bias"))) biases.push_back(linear_name(layer, linear, "bias"));
  }
  at::Tensor bias = biases.empty() ? at::Tensor() : read(files, biases, options_.dtype);
  if (options_.linears != LinearFormat::plain) {
    const CompactOptions compact{options_.dtype, options_.device, scratch_};
    return FrozenLinear(make_compact_weight(options_.linears, read_stacked(files, weights), compact), std::move(bias));
  }
  return FrozenLinear(read(files, weights, options_.dtype), std::move(bias));
}

}  // namespace chorale
