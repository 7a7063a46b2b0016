#include "core/adapters/adapter_bank.hpp"

#include <ATen/ops/zeros.h>

#include <cmath>
#include <span>

#include "core/adapters/lora_hook.hpp"
#include "core/base/errors.hpp"
#include "core/base/random.hpp"

namespace chorale {

AdapterBank::AdapterBank(const ModelConfig& model, const AdapterConfig& adapter, const BankOptions& options)
    : config_(adapter), layout_(model, adapter), options_(options) {
  CHORALE_ASSERT(!options.members.empty(), "a bank holds at least one member");
  at::Tensor start = at::zeros({member_count(), layout_.parameters()}, at::kFloat);
  for (std::int64_t m = 0; m < member_count(); ++m) {
    auto* row = start[m].mutable_data_ptr<float>();
    const std::uint32_t number = options.vary_initialisation ? options.members[static_cast<std::size_t>(m)] : 0;
    for (const AdapterSite& site : layout_.sites()) {
      const auto bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(site.in)));
      const RandomStream random(options.seed, number, Purpose::initialisation, site.index);
      random.fill_uniform(std::span<float>(row + site.a_offset, static_cast<std::size_t>(config_.rank * site.in)),
                          -bound, bound);
    }
  }
  parameters_ = start.to(options.dtype).to(options.device);
  gradients_ = at::zeros(parameters_.sizes(), parameters_.options());
}

void AdapterBank::keep_rounded(at::ScalarType type) {
  if (type == parameters_.scalar_type()) return;
  rounded_ = parameters_.to(type);
  rounded_anew();
}

void AdapterBank::rounded_anew() {
  rounded_version_ = static_cast<std::uint32_t>(parameters_._version());
}

void AdapterBank::round_if_changed() {
  // Views count their changes together with what they are views of.
  if (!rounded_.defined() || rounded_version_ == static_cast<std::uint32_t>(parameters_._version())) return;
  rounded_.copy_(parameters_);
  rounded_anew();
}

at::Tensor AdapterBank::a(std::int64_t member, const AdapterSite& site) const {
  return parameters_[member].narrow(0, site.a_offset, config_.rank * site.in).view({config_.rank, site.in});
}

at::Tensor AdapterBank::b(std::int64_t member, const AdapterSite& site) const {
  return parameters_[member].narrow(0, site.b_offset, config_.rank * site.out).view({site.out, config_.rank});
}

std::unique_ptr<LoraHook> AdapterBank::hook(const at::Tensor& leaf, bool training, std::uint64_t step,
                                            const at::Tensor& device_step) const {
  DropoutKey key;
  key.seed = options_.seed;
  key.step = step;
  key.device_step = device_step;
  key.members = options_.members;
  return std::make_unique<LoraHook>(layout_, config_, leaf, training ? config_.dropout : 0.0, key);
}

at::Tensor AdapterBank::b_columns() const {
  at::Tensor columns = at::zeros({layout_.parameters()}, at::kBool);
  for (const AdapterSlot& slot : layout_.slots()) {
    columns.narrow(0, slot.b_offset, slot.b_rows * config_.rank).fill_(true);
  }
  return columns.to(options_.device);
}

}  // namespace chorale
