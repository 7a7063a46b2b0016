#include "core/model/output_head.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "core/kernels/device_kernels.hpp"
#include "core/kernels/vocabulary_softmax.hpp"

namespace chorale {
namespace {

at::ScalarType result_type(const at::Tensor& hidden) {
  return hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Rows whose logits fill about 32 MB: large enough for an efficient product, small beside the activations. A GPU needs
// more rows to be busy with the head's weights once it has read them.
std::int64_t block_rows(std::int64_t vocabulary, c10::Device device) {
  const std::int64_t logits = device.is_cuda() ? 64 << 20 : 8 << 20;
  return std::max<std::int64_t>(1, logits / vocabulary);
}

// Log-likelihoods with the device's kernels: of each block of logits, in the products' type, picked ones are taken, and
// the rest turns into probabilities where it lies.
class DeviceTokenLogLikelihoods : public torch::autograd::Function<DeviceTokenLogLikelihoods> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden, const at::Tensor& head,
                            const at::Tensor& output_of, const at::Tensor& token_of, bool gradient_needed) {
    const DeviceKernels kernels(hidden);
    const std::int64_t outputs = hidden.size(0);
    const at::TensorOptions numbers = hidden.options().dtype(at::kFloat);
    at::Tensor log_total = at::empty({outputs}, numbers);
    at::Tensor picked = at::empty({output_of.size(0)}, numbers);
    at::Tensor expected = gradient_needed ? at::empty_like(hidden) : at::Tensor();
    device::PickLogits pick;
    pick.type = kernel_type(hidden.scalar_type());
    pick.output_of = output_of.const_data_ptr<std::int64_t>();
    pick.token_of = token_of.const_data_ptr<std::int64_t>();
    pick.picked = picked.mutable_data_ptr<float>();
    pick.picks = output_of.size(0);
    pick.vocabulary = head.size(0);
    device::SoftmaxRows softmax;
    softmax.type = pick.type;
    softmax.vocabulary = pick.vocabulary;
    softmax.overwrite = gradient_needed;
    const std::int64_t block = std::min(outputs, block_rows(head.size(0), hidden.device()));
    at::Tensor room = at::empty({block, head.size(0)}, hidden.options());
    for (std::int64_t begin = 0; begin < outputs; begin += block) {
      const std::int64_t count = std::min(block, outputs - begin);
      at::Tensor logits = room.narrow(0, 0, count);
      at::mm_out(logits, hidden.narrow(0, begin, count), head.t());
      pick.logits = logits.const_data_ptr();
      pick.first = begin;
      pick.rows = count;
      kernels.run(&device::Kernels::pick_logits, pick);
      softmax.logits = logits.mutable_data_ptr();
      softmax.log_totals = log_total.mutable_data_ptr<float>() + begin;
      softmax.rows = count;
      kernels.run(&device::Kernels::softmax_rows, softmax);
      if (gradient_needed) {
        at::Tensor out = expected.narrow(0, begin, count);
        at::mm_out(out, logits, head);
      }
    }
    if (gradient_needed) context->save_for_backward({expected, head, output_of, token_of});
    return picked - log_total.index_select(0, output_of);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& expected = saved[0];
    const at::Tensor weights = gradients[0].to(at::kFloat).contiguous();
    const auto [sorted, order] = at::sort(saved[2], /*stable=*/true, /*dim=*/0, /*descending=*/false);
    const at::Tensor offsets = at::searchsorted(sorted, at::arange(expected.size(0) + 1, saved[2].options()));
    at::Tensor dx = at::empty_like(expected);
    device::LikelihoodGradient a;
    a.type = kernel_type(expected.scalar_type());
    a.expected = expected.const_data_ptr();
    a.head = saved[1].const_data_ptr();
    a.pick_offsets = offsets.const_data_ptr<std::int64_t>();
    a.order = order.const_data_ptr<std::int64_t>();
    a.token_of = saved[3].const_data_ptr<std::int64_t>();
    a.weights = weights.const_data_ptr<float>();
    a.dx = dx.mutable_data_ptr();
    a.outputs = expected.size(0);
    a.hidden = expected.size(1);
    DeviceKernels(expected).run(&device::Kernels::likelihood_gradient, a);
    return {dx, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

bool on_device(const at::Tensor& hidden, const at::Tensor& head) {
  return is_kernel_type(hidden.scalar_type()) && head.is_contiguous() && DeviceKernels(hidden);
}

class TokenLogLikelihoods : public torch::autograd::Function<TokenLogLikelihoods> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden, const at::Tensor& head,
                            const at::Tensor& output_of, const at::Tensor& token_of, bool gradient_needed) {
    const std::int64_t outputs = hidden.size(0);
    const at::ScalarType type = result_type(hidden);
    at::Tensor log_total = at::empty({outputs}, hidden.options().dtype(type));
    at::Tensor expected = gradient_needed ? at::empty_like(hidden) : at::Tensor();
    if (hidden.is_cpu() && hidden.scalar_type() == type) {
      vocabulary_softmax(hidden.contiguous(), head.contiguous(), log_total, gradient_needed ? &expected : nullptr);
    } else {
      in_blocks(hidden, head, log_total, expected);
    }
    // The picked logits once more, as dot products: cheaper than keeping any block.
    const at::Tensor picked =
        (hidden.index_select(0, output_of).to(type) * head.index_select(0, token_of).to(type)).sum(1);
    if (gradient_needed) context->save_for_backward({expected, head, output_of, token_of});
    return picked - log_total.index_select(0, output_of);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& expected = saved[0];
    const at::Tensor weight = gradients[0].to(expected.scalar_type());
    at::Tensor per_output = at::zeros({expected.size(0)}, expected.options());
    per_output.index_add_(0, saved[2], weight);
    at::Tensor dx = expected * per_output.neg().unsqueeze(1);
    dx.index_add_(0, saved[2], saved[1].index_select(0, saved[3]) * weight.unsqueeze(1));
    return {dx, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  // Blocks of rows over the whole vocabulary, with torch's operations; `expected` may be undefined.
  static void in_blocks(const at::Tensor& hidden, const at::Tensor& head, at::Tensor& log_total, at::Tensor& expected) {
    const std::int64_t outputs = hidden.size(0);
    const at::ScalarType type = log_total.scalar_type();
    const std::int64_t block = block_rows(head.size(0), hidden.device());
    for (std::int64_t begin = 0; begin < outputs; begin += block) {
      const std::int64_t count = std::min(block, outputs - begin);
      at::Tensor logits = at::mm(hidden.narrow(0, begin, count), head.t()).to(type);
      const at::Tensor total = at::logsumexp(logits, {1}, /*keepdim=*/true);
      log_total.narrow(0, begin, count).copy_(total.squeeze(1));
      if (expected.defined()) {
        at::Tensor out = expected.narrow(0, begin, count);
        at::mm_out(out, logits.sub_(total).exp_().to(hidden.scalar_type()), head);
      }
    }
  }
};

class VocabularyDivergence : public torch::autograd::Function<VocabularyDivergence> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden,
                            const at::Tensor& base_hidden, const at::Tensor& stored_head, bool base_first) {
    const at::Tensor head = stored_head.to(hidden.scalar_type());
    const std::int64_t outputs = hidden.size(0);
    const at::ScalarType type = result_type(hidden);
    at::Tensor divergence = at::empty({outputs}, hidden.options().dtype(type));
    at::Tensor slope = at::empty_like(hidden);
    const std::int64_t block = block_rows(head.size(0), hidden.device());
    for (std::int64_t begin = 0; begin < outputs; begin += block) {
      const std::int64_t count = std::min(block, outputs - begin);
      const at::Tensor log_p = at::log_softmax(at::mm(hidden.narrow(0, begin, count), head.t()).to(type), 1);
      const at::Tensor log_q = at::log_softmax(at::mm(base_hidden.narrow(0, begin, count), head.t()).to(type), 1);
      const at::Tensor p = log_p.exp();
      at::Tensor logit_slope;
      at::Tensor value;
      if (base_first) {  // d KL(q || p)/dz = p - q
        const at::Tensor q = log_q.exp();
        value = (q * (log_q - log_p)).sum(1);
        logit_slope = p - q;
      } else {  // d KL(p || q)/dz = p * (log p - log q - KL)
        value = (p * (log_p - log_q)).sum(1);
        logit_slope = p * (log_p - log_q - value.unsqueeze(1));
      }
      divergence.narrow(0, begin, count).copy_(value);
      at::Tensor out = slope.narrow(0, begin, count);
      at::mm_out(out, logit_slope.to(hidden.scalar_type()), head);
    }
    context->save_for_backward({slope});
    return divergence;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const at::Tensor slope = context->get_saved_variables()[0];
    return {slope * gradients[0].to(slope.scalar_type()).unsqueeze(1), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor label_logits(const at::Tensor& hidden, const at::Tensor& label_rows) {
  return at::mm(hidden, label_rows.to(hidden.scalar_type()).t()).to(result_type(hidden));
}

at::Tensor token_log_likelihoods(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& output_of,
                                 const at::Tensor& token_of) {
  const bool gradient_needed = at::GradMode::is_enabled() && hidden.requires_grad();
  if (on_device(hidden, head)) {
    return DeviceTokenLogLikelihoods::apply(hidden.contiguous(), head, output_of.contiguous(), token_of.contiguous(),
                                            gradient_needed);
  }
  return TokenLogLikelihoods::apply(hidden, head, output_of, token_of, gradient_needed);
}

at::Tensor token_log_likelihoods_plain(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& output_of,
                                       const at::Tensor& token_of) {
  const at::Tensor log_p = at::log_softmax(at::mm(hidden, head.t()).to(result_type(hidden)), 1);
  return log_p.index_select(0, output_of).gather(1, token_of.unsqueeze(1)).squeeze(1);
}

at::Tensor vocabulary_divergence(const at::Tensor& hidden, const at::Tensor& base_hidden, const at::Tensor& head,
                                 bool base_first) {
  return VocabularyDivergence::apply(hidden, base_hidden, head, base_first);
}

}  // namespace chorale
