#include "core/kernels/frozen_linear.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

namespace chorale {

at::Tensor FrozenLinear::forward(const at::Tensor& x) const {
  return bias_.defined() ? at::addmm(bias_, x, weight_.t()) : at::mm(x, weight_.t());
}

at::Tensor FrozenLinear::input_gradient(const at::Tensor& dy) const {
  return at::mm(dy, weight_);
}

}  // namespace chorale
