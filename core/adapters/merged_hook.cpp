#include "core/adapters/merged_hook.hpp"

#include <ATen/core/grad_mode.h>

#include "core/base/errors.hpp"

namespace chorale {

MergedHook::MergedHook(const AdapterBank& bank, std::int64_t member)
    : bank_(bank), member_(member), merged_(bank.layout().slots().size()), made_(merged_.size(), false) {}

FrozenLinear MergedHook::merged(const AdapterSlot& slot, const FrozenLinear& frozen) const {
  const std::int64_t rank = bank_.config().rank;
  const at::Tensor own = bank_.parameters()[member_];
  at::Tensor weight = frozen.weight_copy();
  std::int64_t b_row = 0;
  for (std::size_t l = 0; l < slot.columns.size(); ++l) {
    const AdaptedColumns& columns = slot.columns[l];
    const at::Tensor a =
        own.narrow(0, slot.a_offset + static_cast<std::int64_t>(l) * rank * slot.in, rank * slot.in).view({rank, -1});
    const at::Tensor b = own.narrow(0, slot.b_offset + b_row * rank, columns.count * rank).view({columns.count, rank});
    weight.narrow(0, columns.begin, columns.count)
        .addmm_(b.to(weight.scalar_type()), a.to(weight.scalar_type()), 1.0, adapter_scale(bank_.config()));
    b_row += columns.count;
  }
  return FrozenLinear(weight, frozen.bias());
}

at::Tensor MergedHook::linear(std::int64_t layer, LinearGroup group, const FrozenLinear& frozen, const at::Tensor& x,
                              const RowScope& /*scope*/, const InputOrigin& /*origin*/) const {
  const AdapterSlot* slot = bank_.layout().find(layer, group);
  if (slot == nullptr) return frozen.product(x);
  const auto index = static_cast<std::size_t>(slot - bank_.layout().slots().data());
  if (!made_[index]) {
    const at::NoGradGuard no_gradients;
    merged_[index] = merged(*slot, frozen);
    made_[index] = true;
  }
  return merged_[index].product(x);
}

std::vector<at::Tensor> MergedHook::tensors_of(std::int64_t /*layer*/, at::ScalarType /*type*/) const {
  return {};
}

std::unique_ptr<LinearHook> MergedHook::with_tensors(std::int64_t /*layer*/,
                                                     const std::vector<at::Tensor>& /*tensors*/) const {
  throw InternalError("internal error: merged adapters have no gradients");
}

}  // namespace chorale
