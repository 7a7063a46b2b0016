#include "core/kernels/frozen_linear.hpp"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <string_view>

namespace chorale {
namespace {

// torch offers oneDNN's prepacked linear to its compiler only, as operators without a C++ function of their own.
at::Tensor pack(const at::Tensor& weight) {
  static const auto operation = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                                    .typed<at::Tensor(const at::Tensor&, std::optional<int64_t>)>();
  return operation.call(weight.contiguous(), std::nullopt);
}

at::Tensor packed_product(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias) {
  using Scalars = c10::List<std::optional<at::Scalar>>;
  static const auto operation =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                            Scalars, std::optional<std::string_view>)>();
  const std::optional<at::Tensor> added = bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt;
  return operation.call(x.contiguous(), packed, added, "none", Scalars(), "");
}

class FrozenProduct : public torch::autograd::Function<FrozenProduct> {
 public:
  struct Holder : torch::CustomClassHolder {
    FrozenLinear linear;
  };

  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const c10::intrusive_ptr<Holder>& holder) {
    context->saved_data["linear"] = c10::IValue::make_capsule(holder);
    return holder->linear.product(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto holder = c10::static_intrusive_pointer_cast<Holder>(context->saved_data["linear"].toCapsule());
    return {holder->linear.input_gradient(gradients[0]), at::Tensor()};
  }
};

}  // namespace

FrozenLinear::FrozenLinear(at::Tensor weight, at::Tensor bias) : weight_(std::move(weight)), bias_(std::move(bias)) {
  if (weight_.is_cpu() && weight_.scalar_type() == at::kFloat && at::globalContext().hasMKLDNN()) {
    const at::NoGradGuard no_gradients;
    packed_ = std::make_shared<Packed>();
    packed_->weight = pack(weight_);
    weight_ = at::Tensor();
  }
}

at::Tensor FrozenLinear::forward(const at::Tensor& x) const {
  if (!packed_ || !at::GradMode::is_enabled() || !x.requires_grad()) return product(x);
  auto holder = c10::make_intrusive<FrozenProduct::Holder>();
  holder->linear = *this;
  return FrozenProduct::apply(x, holder);
}

at::Tensor FrozenLinear::product(const at::Tensor& x) const {
  if (packed_) return packed_product(x, packed_->weight, bias_);
  return bias_.defined() ? at::addmm(bias_, x, weight_.t()) : at::mm(x, weight_.t());
}

at::Tensor FrozenLinear::input_gradient(const at::Tensor& dy) const {
  if (!packed_) return at::mm(dy, weight_);
  if (!packed_->transposed.defined()) packed_->transposed = pack(packed_->weight.to_dense().t());
  return packed_product(dy, packed_->transposed, at::Tensor());
}

at::Tensor FrozenLinear::weight() const {
  return packed_ ? packed_->weight.to_dense() : weight_;
}

}  // namespace chorale
