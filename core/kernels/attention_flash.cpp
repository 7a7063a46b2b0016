#include "core/kernels/attention_flash.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "core/kernels/device_kernels.hpp"
#include "core/kernels/flash_branches.hpp"
#include "core/kernels/rotate.hpp"

namespace chorale {
namespace {

// Columns [first, first + heads) of head_dim each, as [rows, heads, head_dim].
at::Tensor heads_of(const at::Tensor& x, std::int64_t first, std::int64_t heads, std::int64_t head_dim) {
  return x.narrow(1, first * head_dim, heads * head_dim).unflatten(1, {heads, head_dim});
}

at::Tensor picked(const at::Tensor& x, const at::Tensor& rows) {
  return rows.defined() ? x.index_select(0, rows) : x;
}

struct Operands {
  at::Tensor q, k, v;  // k and v in the rows' own order
};

// q, k and v out of the rotated buffers; `beside` undefined: they lie side by side in one.
Operands operands_of(const at::Tensor& queries, const at::Tensor& beside, const HeadShape& shape) {
  const at::Tensor& source = beside.defined() ? beside : queries;
  const std::int64_t first = beside.defined() ? 0 : shape.heads;
  return {heads_of(queries, 0, shape.heads, shape.head_dim), heads_of(source, first, shape.kv_heads, shape.head_dim),
          heads_of(source, first + shape.kv_heads, shape.kv_heads, shape.head_dim)};
}

// Keys' and values' gradients of `sequences` back where the rows lie; zero for rows that nobody looked at.
FlashGradients in_row_order(FlashGradients d, const FlashPlan& flash) {
  if (!flash.key_rows.defined()) return d;
  for (at::Tensor* gradient : {&d.k, &d.v}) {
    at::Tensor rows = at::empty(gradient->sizes(), gradient->options());
    rows.index_copy_(0, flash.key_rows, *gradient);
    rows.masked_fill_(flash.unused.view({-1, 1, 1}), 0.0);  // whatever flash attention has left there
    *gradient = rows;
  }
  return d;
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
    const Operands in = operands_of(q, kv, shape);
    const FlashResult own =
        flash_attention(in.q, picked(in.k, flash.key_rows), picked(in.v, flash.key_rows), flash.sequences);
    const FlashResult result = with_branches(own, in.q, in.k, in.v, flash);
    if (flash.padded) {
      at::Tensor(result.out).masked_fill_(flash.real.logical_not().view({-1, 1, 1}), 0.0);
    }
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
    const Operands in = operands_of(q, kv, shape);
    const at::Tensor dout = gradients[0].contiguous().view({q.size(0), shape.heads, shape.head_dim});
    const FlashResult result{saved[2], saved[3], saved[4], saved[5]};
    FlashGradients d = in_row_order(flash_attention_backward(dout, in.q, picked(in.k, flash.key_rows),
                                                             picked(in.v, flash.key_rows), result, flash.sequences),
                                    flash);
    add_branch_gradients(dout, in.q, in.k, in.v, result, flash, d);
    at::Tensor dq = at::empty(q.sizes(), q.options());
    at::Tensor dkv = kv.defined() ? at::empty(kv.sizes(), kv.options()) : at::Tensor();
    put_queries(d.q, dq, flash, shape);
    put_keys(d, kv.defined() ? dkv : dq, kv.defined() ? 0 : shape.heads, *plan, shape);
    return {dq, dkv, at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static void put_queries(const at::Tensor& d, at::Tensor& into, const FlashPlan& flash, const HeadShape& shape) {
    rotate_heads(d.contiguous().flatten(1), into, flash.query_cosine, flash.query_sine, shape.heads, shape.head_dim,
                 true);
  }

  // Keys' and values' gradients to columns that begin at head `first`.
  static void put_keys(const FlashGradients& d, const at::Tensor& into, std::int64_t first, const AttentionPlan& plan,
                       const HeadShape& shape) {
    const std::int64_t width = shape.kv_heads * shape.head_dim;
    at::Tensor columns = into.narrow(1, first * shape.head_dim, 2 * width);
    at::Tensor keys = columns.narrow(1, 0, width);
    rotate_heads(d.k.contiguous().flatten(1), keys, plan.cosine, plan.sine, shape.kv_heads, shape.head_dim, true);
    columns.narrow(1, width, width).copy_(d.v.flatten(1));
  }
};

}  // namespace

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
