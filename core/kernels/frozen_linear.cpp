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

// A bias of any type that is undefined or becomes one of `type`.
at::Tensor in_type(const at::Tensor& bias, at::ScalarType type) {
  return bias.defined() ? bias.to(type) : bias;
}

// The product in the packed weight's type, the result in x's: rounding x once costs less than it saves.
at::Tensor typed_product(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias) {
  const at::ScalarType type = packed.scalar_type();
  return onednn_linear(x.to(type), packed, in_type(bias, type)).to(x.scalar_type());
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

FrozenLinear::FrozenLinear(at::Tensor weight, at::Tensor bias) : bias_(std::move(bias)) {
  if (copies(weight.device(), weight.scalar_type())) {
    WeightMemory own;
    lay_out({weight.size(0), weight.size(1), [&] { return weight; }}, weight.scalar_type(), own);
  } else {
    weight_ = std::move(weight);
  }
}

FrozenLinear::FrozenLinear(const WeightSource& weight, at::ScalarType type, at::Tensor bias, WeightMemory& memory)
    : bias_(std::move(bias)) {
  lay_out(weight, type, memory);
}

void FrozenLinear::lay_out(const WeightSource& weight, at::ScalarType type, WeightMemory& memory) {
  const at::NoGradGuard no_gradients;
  packed_ = std::make_shared<Packed>();
  if (shares(at::kCPU, type)) {
    packed_->panels = panels_of_transposed(weight, memory);
    packed_->transposed_panels = room_for_transposed(packed_->panels, memory);
  } else {
    packed_->weight = onednn_packed(weight.read().to(kept_type(at::kCPU, type)));
  }
}

at::ScalarType FrozenLinear::kept_type(at::Device device, at::ScalarType type) {
  // Without instructions for bfloat16: the same rounded weights, in products of float32.
  return copies(device, type) && type == at::kBFloat16 && !multiplies_bfloat16() ? at::kFloat : type;
}

bool FrozenLinear::shares(at::Device device, at::ScalarType type) {
  return copies(device, type) && kept_type(device, type) == at::kFloat && has_panel_products();
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
    return panel_product(x.to(at::kFloat), packed_->panels, in_type(bias_, at::kFloat), pass).to(x.scalar_type());
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
    const PanelMatrix back = transposed(packed_->panels, packed_->transposed_panels);
    return panel_product(dy.to(at::kFloat), back, at::Tensor(), pass).to(dy.scalar_type());
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
