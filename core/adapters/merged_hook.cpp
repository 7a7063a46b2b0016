#include "core/adapters/merged_hook.hpp"

#include <ATen/core/grad_mode.h>

#include "core/base/errors.hpp"

namespace chorale {

MergedHook::MergedHook(const AdapterBank& bank, std::int64_t member)
    : bank_(bank), member_(member), merged_(bank.layout().slots().size()) {}

FrozenLinear MergedHook::merged(const AdapterSlot& slot, const FrozenLinear& frozen) const {
  const at::NoGradGuard no_gradients;
  const double scale = adapter_scale(bank_.config());
  at::Tensor weight = frozen.weight_copy();
  for (const AdaptedColumns& columns : slot.columns) {
    const AdapterSite& site = bank_.layout().sites()[columns.site];
    const at::Tensor a = bank_.a(member_, site).to(weight.scalar_type());
    const at::Tensor b = bank_.b(member_, site).to(weight.scalar_type());
    weight.narrow(0, columns.begin, columns.count).addmm_(b, a, 1.0, scale);
  }
  return FrozenLinear(weight, frozen.bias());
}

at::Tensor MergedHook::linear(std::int64_t layer, LinearGroup group, const FrozenLinear& frozen, const at::Tensor& x,
                              const RowScope& /*scope*/, const InputOrigin& /*origin*/) const {
  const AdapterSlot* slot = bank_.layout().find(layer, group);
  if (slot == nullptr) return frozen.product(x);
  std::optional<FrozenLinear>& own = merged_[static_cast<std::size_t>(slot - bank_.layout().slots().data())];
  if (!own) own = merged(*slot, frozen);
  return own->product(x);
}

std::vector<at::Tensor> MergedHook::tensors_of(std::int64_t /*layer*/, at::ScalarType /*type*/) const {
  return {};
}

std::unique_ptr<LinearHook> MergedHook::with_tensors(std::int64_t /*layer*/,
                                                     const std::vector<at::Tensor>& /*tensors*/) const {
  throw InternalError("internal error: merged adapters have no gradients");
}

}  // namespace chorale
