#include "core/kernels/onednn_linear.hpp"

#include <ATen/Context.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>

namespace chorale {

bool has_onednn_linear(at::Device device, at::ScalarType type) {
  return device.is_cpu() && (type == at::kFloat || type == at::kBFloat16) && at::globalContext().hasMKLDNN();
}

bool has_onednn_linear(const at::Tensor& weight) {
  return has_onednn_linear(weight.device(), weight.scalar_type());
}

// Operators without a C++ function of their own.
at::Tensor onednn_packed(const at::Tensor& weight) {
  static const auto operation = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                                    .typed<at::Tensor(const at::Tensor&, std::optional<int64_t>)>();
  return operation.call(weight.contiguous(), std::nullopt);
}

at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  using Scalars = c10::List<std::optional<at::Scalar>>;
  static const auto operation =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                            Scalars, std::optional<std::string_view>)>();
  const std::optional<at::Tensor> added = bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt;
  return operation.call(x.contiguous(), weight, added, "none", Scalars(), "");
}

}  // namespace chorale
