#include "core/kernels/frozen_linear.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/onednn_linear.hpp"
#include "core/kernels/panel_product.hpp"

namespace chorale {
namespace {

// The product in the packed weight's type, the result in x's: rounding x once costs less than it saves.
at::Tensor typed_product(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias) {
  return onednn_linear(x.to(packed.scalar_type()), packed, bias).to(x.scalar_type());
}

// Whether this machine multiplies bfloat16 faster than float32; oneDNN would imitate it elsewhere.
bool multiplies_bfloat16() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  static const bool can = __builtin_cpu_supports("avx512bf16") != 0;
  return can;
#else
  return false;
#endif
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
  const bool half = weight_.scalar_type() == at::kBFloat16;
  if (has_onednn_linear(weight_)) {
    const at::NoGradGuard no_gradients;
    // The same rounded weights, in products of float32.
    if (half && !multiplies_bfloat16()) weight_ = weight_.to(at::kFloat);
    if (bias_.defined()) bias_ = bias_.to(weight_.scalar_type());
    packed_ = std::make_shared<Packed>();
    if (weight_.scalar_type() == at::kFloat && has_panel_products()) {
      packed_->panels = panels_of_transposed(weight_);
    } else {
      packed_->weight = onednn_packed(weight_);
    }
    weight_ = at::Tensor();
  }
}

bool FrozenLinear::copies(at::Device device, at::ScalarType type) {
  return has_onednn_linear(device, type);
}

bool FrozenLinear::takes_passes_along(at::Device device, at::ScalarType type) {
  return has_onednn_linear(device, type) && type == at::kFloat && has_panel_products();
}

FrozenLinear::FrozenLinear(CompactWeightPtr weight, at::Tensor bias)
    : bias_(std::move(bias)), compact_(std::move(weight)) {}

at::Tensor FrozenLinear::forward(const at::Tensor& x) const {
  if ((!packed_ && !compact_) || !at::GradMode::is_enabled() || !x.requires_grad()) return product(x);
  auto holder = c10::make_intrusive<FrozenProduct::Holder>();
  holder->linear = *this;
  return FrozenProduct::apply(x, holder);
}

at::Tensor FrozenLinear::product(const at::Tensor& x, LowRankPass* pass) const {
  if (packed_ && packed_->panels.defined()) {
    return panel_product(x.to(at::kFloat), packed_->panels, bias_, pass).to(x.scalar_type());
  }
  at::Tensor y = plain_product(x);
  if (pass != nullptr) {
    run_downs(x, *pass);
    run_ups(y, *pass);
  }
  return y;
}

at::Tensor FrozenLinear::input_gradient(const at::Tensor& dy, LowRankPass* pass) const {
  if (packed_ && packed_->panels.defined()) {
    if (!packed_->transposed_panels.defined()) packed_->transposed_panels = transposed(packed_->panels);
    return panel_product(dy.to(at::kFloat), packed_->transposed_panels, at::Tensor(), pass).to(dy.scalar_type());
  }
  if (pass != nullptr) run_downs(dy, *pass);
  at::Tensor dx = plain_input_gradient(dy);
  if (pass != nullptr) run_ups(dx, *pass);
  return dx;
}

at::Tensor FrozenLinear::plain_product(const at::Tensor& x) const {
  if (compact_) return compact_->product(x, bias_);
  if (packed_) return typed_product(x, packed_->weight, bias_);
  return bias_.defined() ? at::addmm(bias_, x, weight_.t()) : at::mm(x, weight_.t());
}

at::Tensor FrozenLinear::plain_input_gradient(const at::Tensor& dy) const {
  if (compact_) return compact_->input_gradient(dy);
  if (!packed_) return at::mm(dy, weight_);
  if (!packed_->transposed.defined()) packed_->transposed = onednn_packed(packed_->weight.to_dense().t());
  return typed_product(dy, packed_->transposed, at::Tensor());
}

at::Tensor FrozenLinear::weight() const {
  if (compact_) return compact_->decoded();
  if (!packed_) return weight_;
  return packed_->panels.defined() ? plain_transposed(packed_->panels) : packed_->weight.to_dense();
}

at::Tensor FrozenLinear::weight_copy() const {
  // decoded() may be memory that other weights are decoded into.
  return packed_ ? weight() : weight().clone();
}

}  // namespace chorale
