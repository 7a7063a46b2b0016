#include "core/model/recomputed.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/base/errors.hpp"

namespace chorale {
namespace {

struct StageHolder : torch::CustomClassHolder {
  Stage stage;
};

class Recomputed : public torch::autograd::Function<Recomputed> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList inputs,
                            const c10::intrusive_ptr<StageHolder>& holder) {
    context->save_for_backward(inputs.vec());
    context->saved_data["stage"] = c10::IValue::make_capsule(holder);
    return holder->stage(inputs.vec());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto holder = c10::static_intrusive_pointer_cast<StageHolder>(context->saved_data["stage"].toCapsule());
    torch::autograd::variable_list inputs = context->get_saved_variables();
    torch::autograd::variable_list wanted;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      inputs[i] = inputs[i].detach();
      if (!context->needs_input_grad(i)) continue;
      inputs[i].requires_grad_(true);
      wanted.push_back(inputs[i]);
    }
    at::Tensor output;
    {
      const at::AutoGradMode with_gradients(true);
      output = holder->stage(inputs);
    }
    const auto found = torch::autograd::grad({output}, wanted, {gradients[0]}, /*retain_graph=*/std::nullopt,
                                             /*create_graph=*/false, /*allow_unused=*/true);
    torch::autograd::variable_list result(inputs.size() + 1);  // and nothing for the stage
    std::size_t next = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].requires_grad()) result[i] = found[next++];
    }
    return result;
  }
};

}  // namespace

at::Tensor recomputed(const Stage& stage, const std::vector<at::Tensor>& inputs) {
  CHORALE_ASSERT(!inputs.empty(), "a stage without inputs has nothing to differentiate");
  auto holder = c10::make_intrusive<StageHolder>();
  holder->stage = stage;
  return Recomputed::apply(at::TensorList(inputs), holder);
}

}  // namespace chorale
