#include "core/training/gradient_pass.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/base/errors.hpp"
#include "core/kernels/dropout.hpp"

namespace chorale {
namespace {

void refill(const at::Tensor& mine, const at::Tensor& other) {
  if (mine.defined()) mine.copy_(other, /*non_blocking=*/true);
}

// Whether masks come out of what a pass reads: on the CPU they do, a twin of a recording being a call like any other.
bool masks_follow_inputs(const Decoder& decoder, const AdapterBank& bank) {
  return bank.config().dropout == 0.0 || decoder.device().is_cpu() ||
         draws_masks_on(decoder.device(), decoder.activation_dtype(), bank.member_count());
}

}  // namespace

std::vector<at::Tensor> PassInputs::tensors() const {
  std::vector<at::Tensor> all = {x, normalisers, prepared.output_index, device_step};
  for (const RowScope* scope : {&prepared.rows, &prepared.outputs}) {
    if (scope->device_row_keys.defined()) all.push_back(scope->device_row_keys);
  }
  for (const at::Tensor& tensor : scoring.tensors()) all.push_back(tensor);
  for (const AttentionPlanPtr& plan : {prepared.all_rows, prepared.outputs_only}) {
    for (const at::Tensor& tensor : plan->tensors()) all.push_back(tensor);
  }
  return all;
}

std::vector<std::int64_t> PassInputs::shape() const {
  std::vector<std::int64_t> all;
  for (const at::Tensor& tensor : tensors()) {
    all.push_back(tensor.dim());
    all.insert(all.end(), tensor.sizes().begin(), tensor.sizes().end());
  }
  for (const auto* offsets : {&prepared.rows.stream_offsets, &prepared.outputs.stream_offsets}) {
    all.insert(all.end(), offsets->begin(), offsets->end());
  }
  for (const AttentionPlanPtr& plan : {prepared.all_rows, prepared.outputs_only}) {
    const std::vector<std::int64_t> own = plan->shape();
    all.insert(all.end(), own.begin(), own.end());
  }
  all.push_back(scoring.examples);
  all.push_back(scoring.choices);
  // Whether picks are weighted is decided by the host.
  all.push_back(scoring.pick_output.defined() && scoring.real_picks < scoring.pick_output.size(0) ? 1 : 0);
  return all;
}

void PassInputs::take(const PassInputs& other) {
  prepared.all_rows->take(*other.prepared.all_rows);
  prepared.outputs_only->take(*other.prepared.outputs_only);
  prepared.rows.row_keys = other.prepared.rows.row_keys;
  prepared.outputs.row_keys = other.prepared.outputs.row_keys;
  step = other.step;
  refill(x, other.x);
  refill(normalisers, other.normalisers);
  refill(device_step, other.device_step);
  refill(prepared.output_index, other.prepared.output_index);
  refill(prepared.rows.device_row_keys, other.prepared.rows.device_row_keys);
  refill(prepared.outputs.device_row_keys, other.prepared.outputs.device_row_keys);
  const std::vector<at::Tensor> own = scoring.tensors();
  const std::vector<at::Tensor> theirs = other.scoring.tensors();
  for (std::size_t i = 0; i < own.size(); ++i) refill(own[i], theirs[i]);
  scoring.example_offsets = other.scoring.example_offsets;
  scoring.example_index = other.scoring.example_index;
  scoring.real_picks = other.scoring.real_picks;
}

GradientPass::GradientPass(const Decoder& decoder, AdapterBank& bank, const Objective& objective,
                           std::int64_t first_layer, bool record, Recompute recompute)
    : decoder_(decoder),
      bank_(bank),
      objective_(objective),
      first_layer_(first_layer),
      record_(record && masks_follow_inputs(decoder, bank)),
      recompute_(recompute),
      losses_(at::zeros({2, bank.member_count()}, bank.parameters().options().dtype(at::kDouble))) {
  bank.keep_rounded(decoder.activation_dtype());
  writes_ = decoder.device().is_cpu() && !bank.rounded().defined();
  sink_.buffer = bank.gradients();
  anchor_ = at::zeros({1}, bank.parameters().options()).requires_grad_(true);
}

void GradientPass::reset() {
  losses_.zero_();
  sink_.add = false;
  if (!writes_) bank_.gradients().zero_();
}

void GradientPass::run(const PassInputs& inputs) {
  bank_.round_if_changed();
  if (!record_) {
    compute(inputs);
    return;
  }
  std::vector<std::int64_t> shape = inputs.shape();
  auto found = recorded_.find(shape);
  if (found == recorded_.end()) {
    if (recorded_.size() == kRecordings) {
      compute(inputs);
      return;
    }
    found = recorded_.emplace(std::move(shape), Recorded{inputs, make_recording(decoder_.device()), false}).first;
    Recorded& here = found->second;
    here.work->rehearse([this, &here] { compute(here.inputs); });
    return;
  }
  Recorded& here = found->second;
  here.inputs.take(inputs);
  if (!here.ready) {
    here.work->record([this, &here] { compute(here.inputs); });
    here.ready = true;
  }
  here.work->replay();
}

void GradientPass::compute(const PassInputs& in) {
  const at::AutoGradMode with_gradients(true);
  writes_ ? write_gradients(in) : add_gradients(in);
}

MemberLosses GradientPass::forward(const PassInputs& in, const LinearHook& hook) const {
  const std::int64_t layers = decoder_.config().layers;
  at::Tensor base_hidden;
  if (objective_.needs_base_hidden()) {
    const at::NoGradGuard no_gradients;
    base_hidden = decoder_.run_layers(in.x, in.prepared, first_layer_, layers, nullptr);
  }
  const at::Tensor hidden = decoder_.run_layers(in.x, in.prepared, first_layer_, layers, &hook, recompute_);
  return objective_.losses(hidden, base_hidden, in.scoring, in.normalisers);
}

// Members share no parameter, so the gradient of the sum holds each member's own gradient in its row.
void GradientPass::add_gradients(const PassInputs& in) {
  const at::Tensor leaf = bank_.read_by_products().detach().requires_grad_(true);
  const auto hook = bank_.hook(leaf, /*training=*/true, static_cast<std::uint64_t>(in.step), in.device_step);
  const MemberLosses losses = forward(in, *hook);
  const auto gradients = torch::autograd::grad({losses.total.sum()}, {leaf});
  bank_.gradients().add_(gradients[0]);
  add_losses(losses);
}

void GradientPass::write_gradients(const PassInputs& in) {
  const auto hook =
      bank_.hook(bank_.parameters(), /*training=*/true, static_cast<std::uint64_t>(in.step), in.device_step);
  hook->send_gradients(sink_, anchor_);
  const MemberLosses losses = forward(in, *hook);
  sink_.written = 0;
  static_cast<void>(torch::autograd::grad({losses.total.sum()}, {anchor_}, /*grad_outputs=*/{},
                                          /*retain_graph=*/std::nullopt, /*create_graph=*/false,
                                          /*allow_unused=*/true));
  CHORALE_ASSERT(sink_.written == std::ssize(bank_.layout().slots()), "a pass writes the gradients of all adapters");
  sink_.add = true;
  add_losses(losses);
}

void GradientPass::add_losses(const MemberLosses& losses) {
  losses_[0].add_(losses.data);
  if (losses.divergence.defined()) losses_[1].add_(losses.divergence);
}

}  // namespace chorale
