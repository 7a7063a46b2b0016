#include "core/adapters/adapter_layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/base/errors.hpp"

namespace chorale {

LinearShape linear_shape(const ModelConfig& model, std::string_view linear) {
  const std::int64_t queries = model.heads * model.head_dim;
  const std::int64_t keys = model.kv_heads * model.head_dim;
  if (linear == "q_proj") return {model.hidden, queries};
  if (linear == "k_proj" || linear == "v_proj") return {model.hidden, keys};
  if (linear == "o_proj") return {queries, model.hidden};
  if (linear == "gate_proj" || linear == "up_proj") return {model.hidden, model.feed_forward};
  CHORALE_ASSERT(linear == "down_proj", "unknown linear '" + std::string(linear) + "'");
  return {model.feed_forward, model.hidden};
}

AdapterLayout::AdapterLayout(const ModelConfig& model, const AdapterConfig& adapter) {
  std::vector<std::int64_t> layers = adapter.layers;
  if (layers.empty()) {
    layers.resize(static_cast<std::size_t>(model.layers));
    std::iota(layers.begin(), layers.end(), 0);
  }
  for (const std::int64_t layer : layers) {
    if (layer < 0 || layer >= model.layers) {
      throw UsageError(
          fmt::format("adapter.layers: layer {} does not exist; the base model has layers 0 to {}. "
                      "Name layers in that range.",
                      layer, model.layers - 1));
    }
    for (const LinearGroup group : groups_of_layer(layer + 1 == model.layers)) {
      AdapterSlot slot;
      slot.layer = layer;
      slot.group = group;
      std::vector<AdapterSite> sites;
      std::int64_t column = 0;
      for (const std::string_view linear : linears_of(group)) {
        const LinearShape shape = linear_shape(model, linear);
        slot.in = shape.in;
        if (std::find(adapter.targets.begin(), adapter.targets.end(), linear) != adapter.targets.end()) {
          AdapterSite site;
          const bool attention = group != LinearGroup::gate_up && group != LinearGroup::down;
          site.module = fmt::format("model.layers.{}.{}.{}", layer, attention ? "self_attn" : "mlp", linear);
          site.target = linear;
          site.layer = layer;
          site.index = static_cast<std::uint32_t>(sites_.size() + sites.size());
          site.in = shape.in;
          site.out = shape.out;
          slot.columns.push_back({column, shape.out, site.index});
          sites.push_back(site);
        }
        column += shape.out;
      }
      if (sites.empty()) continue;
      slot.out = column;
      slot.a_offset = parameters_;
      for (AdapterSite& site : sites) {
        site.a_offset = parameters_;
        parameters_ += adapter.rank * site.in;
      }
      slot.b_offset = parameters_;
      for (AdapterSite& site : sites) {
        site.b_offset = parameters_;
        parameters_ += adapter.rank * site.out;
        slot.b_rows += site.out;
      }
      slot.a_rows = static_cast<std::int64_t>(sites.size()) * adapter.rank;
      sites_.insert(sites_.end(), sites.begin(), sites.end());
      slots_.push_back(std::move(slot));
    }
  }
  CHORALE_ASSERT(!slots_.empty(), "an adapter without targets was let through");
}

const AdapterSlot* AdapterLayout::find(std::int64_t layer, LinearGroup group) const {
  for (const AdapterSlot& slot : slots_) {
    if (slot.layer == layer && slot.group == group) return &slot;
  }
  return nullptr;
}

std::int64_t layer_weights(const ModelConfig& model) {
  std::int64_t weights = 0;
  for (const std::string& linear : kAdapterTargets) {
    const LinearShape shape = linear_shape(model, linear);
    weights += shape.in * shape.out;
  }
  return weights;
}

}  // namespace chorale
