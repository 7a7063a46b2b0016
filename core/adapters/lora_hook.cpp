#include "core/adapters/lora_hook.hpp"

#include <ATen/ops/split_with_sizes.h>

#include "core/kernels/adapted_linear.hpp"

namespace chorale {

LoraHook::LoraHook(const AdapterLayout& layout, const AdapterConfig& config, const at::Tensor& leaf, double dropout,
                   DropoutKey key)
    : layout_(layout), config_(config), dropout_(dropout), key_(std::move(key)), leaf_(leaf) {}

void LoraHook::send_gradients(GradientSink& sink, const at::Tensor& anchor) {
  sink_ = &sink;
  anchor_ = anchor;
}

// All adapters are rounded to the products' type at once, and taken apart by one split.
const std::vector<at::Tensor>& LoraHook::pieces(at::ScalarType type) const {
  if (!pieces_.empty()) return pieces_;
  std::vector<std::int64_t> sizes;
  for (const AdapterSlot& slot : layout_.slots()) {
    sizes.push_back(slot.a_rows * slot.in);
    sizes.push_back(slot.b_rows * config_.rank);
  }
  pieces_ = at::split_with_sizes(leaf_.to(type), sizes, 1);
  return pieces_;
}

std::vector<at::Tensor> LoraHook::tensors_of(std::int64_t layer, at::ScalarType type) const {
  const std::vector<at::Tensor>& all = pieces(type);
  std::vector<at::Tensor> tensors;
  for (std::size_t i = 0; i < layout_.slots().size(); ++i) {
    if (layout_.slots()[i].layer == layer) tensors.insert(tensors.end(), {all[2 * i], all[2 * i + 1]});
  }
  if (sink_ == nullptr || tensors.empty()) return tensors;
  return {anchor_};
}

std::unique_ptr<LinearHook> LoraHook::with_tensors(std::int64_t layer, const std::vector<at::Tensor>& tensors) const {
  auto hook = std::make_unique<LoraHook>(layout_, config_, leaf_, dropout_, key_);
  hook->pieces_ = pieces_;
  if (sink_ != nullptr) {
    hook->send_gradients(*sink_, tensors.empty() ? anchor_ : tensors.front());
    return hook;
  }
  std::size_t next = 0;
  for (std::size_t i = 0; i < layout_.slots().size(); ++i) {
    if (layout_.slots()[i].layer != layer) continue;
    hook->pieces_[2 * i] = tensors[next++];
    hook->pieces_[2 * i + 1] = tensors[next++];
  }
  return hook;
}

at::Tensor LoraHook::linear(std::int64_t layer, LinearGroup group, const FrozenLinear& frozen, const at::Tensor& x,
                            const RowScope& scope, const InputOrigin& origin) const {
  const AdapterSlot* slot = layout_.find(layer, group);
  if (slot == nullptr) return frozen.forward(x);
  const auto index = static_cast<std::size_t>(slot - layout_.slots().data());
  const std::vector<at::Tensor>& all = pieces(x.scalar_type());
  const std::int64_t members = leaf_.size(0);
  auto term = c10::make_intrusive<LowRankTerm>();
  term->frozen = frozen;
  term->stream_offsets = scope.stream_offsets;
  term->columns = slot->columns;
  term->rank = config_.rank;
  term->scale = adapter_scale(config_);
  term->dropout = dropout_;
  if (dropout_ > 0.0) {
    term->dropout_key = key_;
    term->dropout_key.device_row_keys = scope.device_row_keys;
    term->row_keys = scope.row_keys;
  }
  if (sink_ != nullptr) {
    const auto there = [&](std::int64_t offset, std::int64_t rows, std::int64_t columns) {
      return sink_->buffer.narrow(1, offset, rows * columns).view({members, rows, columns});
    };
    term->gradients = {there(slot->a_offset, slot->a_rows, slot->in), there(slot->b_offset, slot->b_rows, config_.rank),
                       sink_->add, &sink_->written};
    term->anchor = anchor_;
  }
  const at::Tensor a = all[2 * index].view({members, slot->a_rows, slot->in});
  const at::Tensor b = all[2 * index + 1].view({members, slot->b_rows, config_.rank});
  return adapted_linear(x, a, b, term, origin);
}

}  // namespace chorale
