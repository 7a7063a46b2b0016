#include "core/kernels/flash_branches.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/logaddexp.h>

#include <limits>

namespace chorale {
namespace {

// [heads, queries] as factors of [queries, heads, head_dim].
at::Tensor as_factors(const at::Tensor& by_head) {
  return by_head.transpose(0, 1).unsqueeze(2);
}

// Adds `part`, taken at `place`, where `takes` says so: whatever lies elsewhere is never looked at.
void add_at(at::Tensor& sum, const at::Tensor& part, const at::Tensor& place, const at::Tensor& takes) {
  sum.add_(part.index_select(0, place).masked_fill_(takes.logical_not().view({-1, 1, 1}), 0.0));
}

}  // namespace

FlashResult with_branches(const FlashResult& own, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const FlashPlan& plan) {
  if (plan.branches.empty()) return own;
  std::vector<FlashResult> parts;
  FlashResult whole = own;
  for (const FlashBranch& branch : plan.branches) {
    FlashResult part = flash_attention(q.index_select(0, branch.query_order), k.index_select(0, branch.key_order),
                                       v.index_select(0, branch.key_order), branch.sequences);
    // A query without keys has no sum, whatever the kernel says.
    part.log_sum = part.log_sum.index_select(1, branch.query_place)
                       .masked_fill_(branch.asks.logical_not().unsqueeze(0), -std::numeric_limits<float>::infinity());
    whole.log_sum = at::logaddexp(whole.log_sum, part.log_sum);
    parts.push_back(std::move(part));
  }
  at::Tensor out = own.out.to(at::kFloat) * as_factors((own.log_sum - whole.log_sum).exp_());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const FlashBranch& branch = plan.branches[i];
    // Where there were no keys, out is what the kernel left there, perhaps no number.
    const at::Tensor seen = parts[i].out.index_select(0, branch.query_place).to(at::kFloat);
    out.add_((seen * as_factors((parts[i].log_sum - whole.log_sum).exp_()))
                 .masked_fill_(branch.asks.logical_not().view({-1, 1, 1}), 0.0));
  }
  whole.out = out.to(own.out.scalar_type());
  return whole;
}

void add_branch_gradients(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const FlashResult& whole, const FlashPlan& plan, FlashGradients& into) {
  for (const FlashBranch& branch : plan.branches) {
    FlashResult here = whole;
    here.out = whole.out.index_select(0, branch.query_order);
    here.log_sum = whole.log_sum.index_select(1, branch.query_order);
    const FlashGradients part = flash_attention_backward(
        dout.index_select(0, branch.query_order), q.index_select(0, branch.query_order),
        k.index_select(0, branch.key_order), v.index_select(0, branch.key_order), here, branch.sequences);
    add_at(into.q, part.q, branch.query_place, branch.asks);
    add_at(into.k, part.k, branch.key_place, branch.asked);
    add_at(into.v, part.v, branch.key_place, branch.asked);
  }
}

}  // namespace chorale
