// The trainer's forward and backward pass: from a step's batches to the group's gradients.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/training/trainer.hpp"

namespace chorale {

std::vector<std::vector<std::size_t>> Trainer::batches(std::int64_t step) const {
  std::vector<std::vector<std::size_t>> examples;
  for (std::size_t m = 0; m < stopping_.states().size(); ++m) {
    const MemberState& state = stopping_.states()[m];
    // A member that stopped early has no rows any more. One that diverged keeps its rows: the shapes of the shared
    // products stay what they were, and with them every bit of the other members' results.
    const bool idle = !state.training && !state.diverged;
    examples.push_back(idle ? std::vector<std::size_t>() : order_.batch(in_.bank->members()[m], step));
  }
  return examples;
}

std::vector<std::vector<std::size_t>> Trainer::own_share(const std::vector<std::vector<std::size_t>>& whole) const {
  std::vector<std::vector<std::size_t>> own;
  for (std::size_t m = 0; m < whole.size(); ++m) {
    // The parts move on by one rank from member to member: what does not divide evenly is spread over the ranks.
    const std::int64_t part = (in_.group->rank() + in_.bank->members()[m]) % in_.group->size();
    const IndexRange range = share_of(whole[m].size(), part, in_.group->size());
    own.emplace_back(whole[m].begin() + static_cast<std::ptrdiff_t>(range.begin),
                     whole[m].begin() + static_cast<std::ptrdiff_t>(range.end));
  }
  return own;
}

Trainer::Gradients Trainer::compute_gradients(std::int64_t step) {
  const std::vector<std::vector<std::size_t>> whole = batches(step);
  Gradients result;
  std::vector<double> normalisers;
  std::vector<std::size_t> all;
  for (const auto& examples : whole) {
    // A member without examples contributes nothing; 1 only keeps the division defined.
    normalisers.push_back(examples.empty() ? 1.0 : objective_->weight_of(examples));
    std::int64_t tokens = examples.empty() ? 0 : in_.train->common_rows();
    for (const std::size_t example : examples) tokens += in_.train->own_rows(example);
    result.tokens.push_back(tokens);
    all.insert(all.end(), examples.begin(), examples.end());
  }
  prefix_.share(all, *in_.group);

  const std::vector<std::vector<std::size_t>> own = own_share(whole);
  std::size_t longest = 0;
  for (const auto& examples : own) longest = std::max(longest, examples.size());
  const auto micro = static_cast<std::size_t>(micro_batch_);
  const auto members = in_.bank->member_count();
  at::Tensor losses = at::zeros({2, members}, in_.bank->parameters().options().dtype(at::kDouble));
  in_.bank->gradients().zero_();
  for (std::size_t begin = 0; begin < longest; begin += micro) {
    std::vector<std::vector<std::size_t>> part;
    for (const auto& examples : own) {
      const std::size_t from = std::min(begin, examples.size());
      const std::size_t to = std::min(from + micro, examples.size());
      part.emplace_back(examples.begin() + static_cast<std::ptrdiff_t>(from),
                        examples.begin() + static_cast<std::ptrdiff_t>(to));
    }
    accumulate(part, normalisers, step, losses);
  }
  // A loss that is not finite spoils its member's gradient, so that the sum tells every rank. 0 * finite is 0.
  in_.bank->gradients().add_((losses.sum(0) * 0.0).to(in_.bank->gradients().scalar_type()).unsqueeze(1));
  const std::uint64_t reduced = in_.group->reduced_bytes();
  in_.group->all_reduce_sum(in_.bank->gradients());
  CHORALE_ASSERT(in_.group->reduced_bytes() - reduced == in_.bank->gradients().nbytes(),
                 "a step sums the group's adapter gradients over its ranks and nothing else");
  // On a GPU this waits for the step, as the norms of update() do: who goes on, clipped by how much, is decided here.
  const at::Tensor host = losses.cpu().contiguous();
  const auto* values = host.const_data_ptr<double>();
  result.loss.assign(values, values + members);
  result.divergence.assign(values + members, values + 2 * members);
  return result;
}

void Trainer::accumulate(const std::vector<std::vector<std::size_t>>& examples, const std::vector<double>& normalisers,
                         std::int64_t step, at::Tensor& losses) {
  const Decoder& decoder = *in_.decoder;
  const ExampleBatch batch = in_.train->build(examples, 0, ExampleBatcher::kRowMultiple);
  const PreparedBatch prepared = decoder.prepare(batch.packed);
  const at::Tensor x = prefix_.rows_of(batch);
  at::Tensor base_hidden;
  if (objective_->needs_base_hidden()) {
    const at::NoGradGuard no_gradients;
    base_hidden = decoder.run_layers(x, prepared, prefix_.end_layer(), decoder.config().layers, nullptr);
  }
  const at::AutoGradMode with_gradients(true);
  const at::Tensor leaf = in_.bank->parameters().detach().requires_grad_(true);
  const auto hook = in_.bank->hook(leaf, /*training=*/true, static_cast<std::uint64_t>(step));
  const at::Tensor hidden = decoder.run_layers(x, prepared, prefix_.end_layer(), decoder.config().layers, hook.get());
  const MemberLosses member_losses = objective_->losses(hidden, base_hidden, batch.scoring, normalisers);
  // Members share no parameter, so the gradient of the sum holds each member's own gradient in its row.
  const auto gradients = torch::autograd::grad({member_losses.total.sum()}, {leaf});
  in_.bank->gradients().add_(gradients[0]);
  losses[0].add_(member_losses.data);
  if (member_losses.divergence.defined()) losses[1].add_(member_losses.divergence);
}

}  // namespace chorale
