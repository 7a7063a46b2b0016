#include "core/kernels/attention_flash.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "core/kernels/device_kernels.hpp"
#include "core/kernels/rotate.hpp"

namespace chorale {
namespace {

FlashPlan make_flash_plan(const AttentionPlan& plan, c10::Device device) {
  FlashPlan result;
  for (const Span& span : plan.layout.spans) {
    if (span.parent >= 0) return result;
  }
  std::vector<std::int32_t> query_offsets = {0};
  std::vector<std::int32_t> key_offsets = {0};
  std::vector<std::int64_t> key_rows, padding_queries, padding_rows;
  const std::size_t queries = plan.query_rows.size();
  std::vector<bool> seen(plan.layout.spans.size(), false);
  for (std::size_t query = 0; query < queries;) {
    const std::int64_t span = plan.query_spans[query];
    const std::int64_t row = plan.query_rows[query];
    const auto goes_on = [&](std::size_t next) {
      return next < queries && plan.query_spans[next] == span && plan.query_rows[next] == plan.query_rows[next - 1] + 1;
    };
    std::size_t end = query + 1;
    while (goes_on(end)) ++end;
    std::int64_t first_key = row;
    if (span < 0) {  // a run of padding is a sequence of its own, whose result is zeroed
      for (std::size_t i = query; i < end; ++i) {
        padding_queries.push_back(static_cast<std::int64_t>(i));
        padding_rows.push_back(plan.query_rows[i]);
      }
    } else {
      const auto index = static_cast<std::size_t>(span);
      if (seen[index]) return result;  // asks again behind a gap
      seen[index] = true;
      first_key = plan.layout.spans[index].begin;
    }
    for (std::int64_t key = first_key; key <= plan.query_rows[end - 1]; ++key) key_rows.push_back(key);
    query_offsets.push_back(static_cast<std::int32_t>(end));
    key_offsets.push_back(static_cast<std::int32_t>(key_rows.size()));
    query = end;
  }
  result.possible = true;
  FlashSequences& sequences = result.sequences;
  for (std::size_t i = 0; i + 1 < query_offsets.size(); ++i) {
    sequences.longest_query = std::max<std::int64_t>(sequences.longest_query, query_offsets[i + 1] - query_offsets[i]);
    sequences.longest_key = std::max<std::int64_t>(sequences.longest_key, key_offsets[i + 1] - key_offsets[i]);
  }
  const auto upload = [&](const auto& values, at::ScalarType type) { return at::tensor(values, type).to(device); };
  sequences.query_offsets = upload(query_offsets, at::kInt);
  sequences.key_offsets = upload(key_offsets, at::kInt);
  const bool all_keys = static_cast<std::int64_t>(key_rows.size()) == plan.layout.rows() &&
                        std::is_sorted(key_rows.begin(), key_rows.end());
  if (!all_keys) result.key_rows = upload(key_rows, at::kLong);
  if (!padding_rows.empty()) {
    result.padding_queries = upload(padding_queries, at::kLong);
    result.padding_rows = upload(padding_rows, at::kLong);
  }
  const bool all_ask = static_cast<std::int64_t>(queries) == plan.layout.rows();
  const at::Tensor asking = all_ask ? at::Tensor() : upload(plan.query_rows, at::kLong);
  result.query_cosine = all_ask ? plan.cosine : plan.cosine.index_select(0, asking);
  result.query_sine = all_ask ? plan.sine : plan.sine.index_select(0, asking);
  return result;
}

// Columns [first, first + heads) of head_dim each, as [rows, heads, head_dim].
at::Tensor heads_of(const at::Tensor& x, std::int64_t first, std::int64_t heads, std::int64_t head_dim) {
  return x.narrow(1, first * head_dim, heads * head_dim).unflatten(1, {heads, head_dim});
}

at::Tensor picked(const at::Tensor& x, const at::Tensor& rows) {
  return rows.defined() ? x.index_select(0, rows) : x;
}

struct Operands {
  at::Tensor q, k, v;
};

// q, k and v out of the rotated buffers; `beside` undefined: they lie side by side in one.
Operands operands_of(const at::Tensor& queries, const at::Tensor& beside, const FlashPlan& flash,
                     const HeadShape& shape) {
  const at::Tensor& source = beside.defined() ? beside : queries;
  const std::int64_t first = beside.defined() ? 0 : shape.heads;
  return {heads_of(queries, 0, shape.heads, shape.head_dim),
          picked(heads_of(source, first, shape.kv_heads, shape.head_dim), flash.key_rows),
          picked(heads_of(source, first + shape.kv_heads, shape.kv_heads, shape.head_dim), flash.key_rows)};
}

class FlashAttention : public torch::autograd::Function<FlashAttention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& queries,
                            const std::optional<at::Tensor>& keys_values, const AttentionPlanPtr& plan, HeadShape shape,
                            bool may_overwrite) {
    const FlashPlan& flash = flash_plan_of(*plan, queries.device());
    at::Tensor q = may_overwrite ? queries.detach() : queries.detach().clone();
    at::Tensor kv;
    if (keys_values) {
      kv = may_overwrite ? keys_values->detach() : keys_values->detach().clone();
      rotate_heads(q, q, flash.query_cosine, flash.query_sine, shape.heads, shape.head_dim, false);
      rotate_heads(kv, kv, plan->cosine, plan->sine, shape.kv_heads, shape.head_dim, false);
    } else {  // queries' and keys' heads are neighbours
      rotate_heads(q, q, plan->cosine, plan->sine, shape.heads + shape.kv_heads, shape.head_dim, false);
    }
    const Operands in = operands_of(q, kv, flash, shape);
    const FlashResult result = flash_attention(in.q, in.k, in.v, flash.sequences);
    if (flash.padding_queries.defined()) at::Tensor(result.out).index_fill_(0, flash.padding_queries, 0.0);
    context->save_for_backward({q, kv, result.out, result.log_sum, result.state, result.unused});
    context->saved_data["plan"] = c10::IValue::make_capsule(plan);
    context->saved_data["heads"] = shape.heads;
    context->saved_data["kv_heads"] = shape.kv_heads;
    context->saved_data["head_dim"] = shape.head_dim;
    return result.out.flatten(1);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& q = saved[0];
    const at::Tensor& kv = saved[1];
    const auto plan = c10::static_intrusive_pointer_cast<AttentionPlan>(context->saved_data["plan"].toCapsule());
    const HeadShape shape{context->saved_data["heads"].toInt(), context->saved_data["kv_heads"].toInt(),
                          context->saved_data["head_dim"].toInt()};
    const FlashPlan& flash = flash_plan_of(*plan, q.device());
    const Operands in = operands_of(q, kv, flash, shape);
    const at::Tensor dout = gradients[0].contiguous().view({q.size(0), shape.heads, shape.head_dim});
    const FlashGradients d =
        flash_attention_backward(dout, in.q, in.k, in.v, {saved[2], saved[3], saved[4], saved[5]}, flash.sequences);
    at::Tensor dq = at::empty(q.sizes(), q.options());
    at::Tensor dkv = kv.defined() ? at::empty(kv.sizes(), kv.options()) : at::Tensor();
    put_queries(d.q, dq, flash, shape);
    put_keys(d, kv.defined() ? dkv : dq, kv.defined() ? 0 : shape.heads, flash, *plan, shape);
    if (flash.padding_queries.defined()) dq.index_fill_(0, flash.padding_queries, 0.0);
    if (flash.padding_rows.defined() && kv.defined()) dkv.index_fill_(0, flash.padding_rows, 0.0);
    return {dq, dkv, at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static void put_queries(const at::Tensor& d, at::Tensor& into, const FlashPlan& flash, const HeadShape& shape) {
    rotate_heads(d.contiguous().flatten(1), into, flash.query_cosine, flash.query_sine, shape.heads, shape.head_dim,
                 true);
  }

  // Keys' and values' gradients to columns that begin at head `first`; rows that nobody looked at get zeros.
  static void put_keys(const FlashGradients& d, const at::Tensor& into, std::int64_t first, const FlashPlan& flash,
                       const AttentionPlan& plan, const HeadShape& shape) {
    const std::int64_t width = shape.kv_heads * shape.head_dim;
    const at::Tensor columns = into.narrow(1, first * shape.head_dim, 2 * width);
    at::Tensor keys = columns.narrow(1, 0, width);
    at::Tensor values = columns.narrow(1, width, width);
    if (flash.key_rows.defined()) {
      columns.zero_();
      keys.index_copy_(0, flash.key_rows, d.k.flatten(1));
      values.index_copy_(0, flash.key_rows, d.v.flatten(1));
      rotate_heads(keys, keys, plan.cosine, plan.sine, shape.kv_heads, shape.head_dim, true);
    } else {
      rotate_heads(d.k.contiguous().flatten(1), keys, plan.cosine, plan.sine, shape.kv_heads, shape.head_dim, true);
      values.copy_(d.v.flatten(1));
    }
  }
};

}  // namespace

const FlashPlan& flash_plan_of(const AttentionPlan& plan, c10::Device device) {
  if (!plan.flash) plan.flash = std::make_shared<const FlashPlan>(make_flash_plan(plan, device));
  return *plan.flash;
}

bool attention_flash_takes(const at::Tensor& queries, const AttentionPlan& plan, const HeadShape& shape) {
  return flash_attention_takes(queries.scalar_type(), shape.head_dim) && !plan.query_rows.empty() &&
         DeviceKernels(queries) && flash_plan_of(plan, queries.device()).possible;
}

at::Tensor attention_flash(const at::Tensor& queries, const at::Tensor& keys_values, const AttentionPlanPtr& plan,
                           const HeadShape& shape, bool may_overwrite) {
  const std::optional<at::Tensor> beside =
      keys_values.defined() ? std::optional<at::Tensor>(keys_values.contiguous()) : std::nullopt;
  return FlashAttention::apply(queries.contiguous(), beside, plan, shape, may_overwrite);
}

}  // namespace chorale
