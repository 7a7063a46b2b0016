// Reading a decoder's weights: linears that share their input are laid one below the other as they are read.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/interruption.hpp"
#include "core/model/decoder.hpp"
#include "core/model/rotary.hpp"
#include "core/model/weight_reader.hpp"

namespace chorale {
namespace {

std::string linear_name(std::int64_t layer, std::string_view linear, const char* part) {
  const bool attention = linear[0] != 'g' && linear[0] != 'u' && linear[0] != 'd';
  return fmt::format("model.layers.{}.{}.{}.{}", layer, attention ? "self_attn" : "mlp", linear, part);
}

// A layer's tensors, in no order.
std::vector<std::string> names_of_layer(const BaseFiles& files, std::int64_t layer) {
  std::vector<std::string> names;
  for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) {
    names.push_back(fmt::format("model.layers.{}.{}.weight", layer, norm));
  }
  for (const LinearGroup group : {LinearGroup::qkv, LinearGroup::o, LinearGroup::gate_up, LinearGroup::down}) {
    for (const std::string_view linear : linears_of(group)) {
      names.push_back(linear_name(layer, linear, "weight"));
      if (files.has(linear_name(layer, linear, "bias"))) names.push_back(linear_name(layer, linear, "bias"));
    }
  }
  return names;
}

void read_ahead(const BaseFiles& files, std::int64_t layer) {
  if (layer >= files.config().layers) return;
  for (const std::string& name : names_of_layer(files, layer)) files.read_ahead(name);
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

bool can_be_shared(const DecoderOptions& options) {
  if (!options.device.is_cpu()) return false;
  return options.linears != LinearFormat::plain || FrozenLinear::shares(options.device, options.dtype);
}

Decoder::Decoder(const BaseFiles& files, const DecoderOptions& options)
    : config_(files.config()),
      options_(options),
      rotations_(inverse_frequencies(files.config()), residual_dtype(), options.device),
      scratch_(std::make_shared<WeightScratch>()) {
  WeightMemory memory(options.shared);
  WeightReader reader(files, options.device, memory);
  // The disk stays a layer ahead of what is read here.
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    if (files.has(name)) files.read_ahead(name);
  }
  read_ahead(files, 0);
  embedding_ = reader.read({"model.embed_tokens.weight"}, options_.dtype);
  head_ = config_.tied_head ? embedding_ : reader.read({"lm_head.weight"}, options_.dtype);
  final_norm_ = reader.read({"model.norm.weight"}, residual_dtype());
  layers_.reserve(static_cast<std::size_t>(config_.layers));
  for (std::int64_t i = 0; i < config_.layers; ++i) {
    stop_if_asked("layer");
    read_ahead(files, i + 1);
    Layer layer;
    const auto norm = [&](const char* name) {
      return reader.read({fmt::format("model.layers.{}.{}.weight", i, name)}, residual_dtype());
    };
    layer.attention_norm = norm("input_layernorm");
    layer.feed_forward_norm = norm("post_attention_layernorm");
    const auto linear = [&](LinearGroup group) { return read_linear(files, reader, memory, i, group); };
    if (i + 1 == config_.layers) {
      layer.q = linear(LinearGroup::q);
      layer.kv = linear(LinearGroup::kv);
    } else {
      layer.qkv = linear(LinearGroup::qkv);
    }
    layer.o = linear(LinearGroup::o);
    layer.gate_up = linear(LinearGroup::gate_up);
    layer.down = linear(LinearGroup::down);
    layers_.push_back(std::move(layer));
  }
  files.release_pages();
}

FrozenLinear Decoder::read_linear(const BaseFiles& files, WeightReader& reader, WeightMemory& memory,
                                  std::int64_t layer, LinearGroup group) const {
  std::vector<std::string> weights;
  std::vector<std::string> biases;
  for (const std::string_view linear : linears_of(group)) {
    weights.push_back(linear_name(layer, linear, "weight"));
    if (files.has(linear_name(layer, linear, "bias"))) biases.push_back(linear_name(layer, linear, "bias"));
  }
  at::Tensor bias = biases.empty() ? at::Tensor() : reader.read(biases, options_.dtype);
  if (options_.linears != LinearFormat::plain) {
    const CompactOptions compact{options_.dtype, options_.device, scratch_};
    return FrozenLinear(make_compact_weight(options_.linears, reader.source(weights, at::kFloat), compact, memory),
                        std::move(bias));
  }
  if (FrozenLinear::copies(options_.device, options_.dtype)) {
    return FrozenLinear(reader.source(weights, options_.dtype), options_.dtype, std::move(bias), memory);
  }
  return FrozenLinear(reader.read(weights, options_.dtype), std::move(bias));
}

}  // namespace chorale
