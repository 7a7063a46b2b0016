#include "core/kernels/rotate.hpp"

#include "core/base/errors.hpp"
#include "core/kernels/device_kernels.hpp"

namespace chorale {

void rotate_heads(const at::Tensor& from, at::Tensor& to, const at::Tensor& cosine, const at::Tensor& sine,
                  std::int64_t heads, std::int64_t head_dim, bool back) {
  CHORALE_ASSERT(from.stride(1) == 1 && to.stride(1) == 1 && cosine.is_contiguous() && sine.is_contiguous(),
                 "heads lie side by side in a row");
  CHORALE_ASSERT(cosine.size(0) == from.size(0) && cosine.size(1) == head_dim / 2, "every row has its angles");
  device::Rotary a;
  a.type = kernel_type(from.scalar_type());
  a.from = from.const_data_ptr();
  a.to = to.mutable_data_ptr();
  a.cosine = cosine.const_data_ptr<float>();
  a.sine = sine.const_data_ptr<float>();
  a.rows = from.size(0);
  a.heads = heads;
  a.head_dim = head_dim;
  a.from_stride = from.stride(0);
  a.to_stride = to.stride(0);
  a.back = back;
  DeviceKernels(from).run(&device::Kernels::rotary, a);
}

}  // namespace chorale
