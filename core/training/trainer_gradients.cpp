// The trainer's forward and backward pass: from a step's batches to the group's gradients.
#include <ATen/TensorOperators.h>

#include "core/base/errors.hpp"
#include "core/model/upload.hpp"
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
  Gradients result;
  result.tokens = accumulate_gradients(step);
  const at::Tensor host = pass_->losses().cpu().contiguous();
  in_.group->confirm();
  const auto* values = host.const_data_ptr<double>();
  const auto members = in_.bank->member_count();
  result.loss.assign(values, values + members);
  result.divergence.assign(values + members, values + 2 * members);
  return result;
}

// Tokens of each member's whole batch.
std::vector<std::int64_t> Trainer::accumulate_gradients(std::int64_t step) {
  const std::vector<std::vector<std::size_t>> whole = batches(step);
  std::vector<std::int64_t> tokens;
  std::vector<double> weights;
  std::vector<std::size_t> all;
  for (const auto& examples : whole) {
    // A member without examples contributes nothing; 1 only keeps the division defined.
    weights.push_back(examples.empty() ? 1.0 : objective_->weight_of(examples));
    tokens.push_back(examples.empty() ? 0 : in_.train->common_rows());
    for (const std::size_t example : examples) tokens.back() += in_.train->own_rows(example);
    all.insert(all.end(), examples.begin(), examples.end());
  }
  prefix_.share(all, *in_.group);
  PassInputs inputs;
  inputs.step = step;
  Upload upload(in_.decoder->device());
  upload.add(inputs.normalisers, weights, at::kDouble);
  upload.add(inputs.device_step, std::vector<std::int64_t>{step});
  upload.send();

  pass_->reset();
  const auto passes = cut_into_passes(own_share(whole), pass_size_);
  if (passes.empty()) in_.bank->gradients().zero_();
  for (const auto& examples : passes) accumulate(examples, inputs);
  // A loss that is not finite spoils its member's gradient, so that the sum tells every rank. 0 * finite is 0.
  at::Tensor& gradients = in_.bank->gradients();
  gradients.select(1, 0).add_((pass_->losses().sum(0) * 0.0).to(gradients.scalar_type()));
  const std::uint64_t reduced = in_.group->reduced_bytes();
  in_.group->all_reduce_sum(gradients);
  CHORALE_ASSERT(in_.group->reduced_bytes() - reduced == gradients.nbytes(),
                 "a step sums the group's adapter gradients over its ranks and nothing else");
  return tokens;
}

void Trainer::accumulate(const std::vector<std::vector<std::size_t>>& examples, PassInputs& inputs) {
  const ExampleBatch batch = in_.train->build(examples, padding_);
  inputs.x = prefix_.rows_of(batch);
  inputs.prepared = in_.decoder->prepare(batch.packed);
  inputs.scoring = batch.scoring;
  pass_->run(inputs);
}

}  // namespace chorale
