#include "core/kernels/attention_flash.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "core/kernels/device_kernels.hpp"
#include "core/kernels/rotate.hpp"
#include "core/kernels/sent.hpp"

namespace chorale {
namespace {

// The plan's sequences on the host.
struct HostSequences {
  bool possible = false;
  bool padded = false;
  std::vector<std::int64_t> query_offsets = {0};
  std::vector<std::int64_t> key_offsets = {0};
  std::vector<std::int64_t> key_rows;  // in the sequences' order
  std::int64_t longest_query = 0;
  std::int64_t longest_key = 0;

  void end_sequence(std::size_t queries) {
    query_offsets.push_back(static_cast<std::int64_t>(queries));
    key_offsets.push_back(static_cast<std::int64_t>(key_rows.size()));
    longest_query = std::max(longest_query, query_offsets.back() - *(query_offsets.end() - 2));
    longest_key = std::max(longest_key, key_offsets.back() - *(key_offsets.end() - 2));
  }
};

HostSequences sequences_of(const AttentionPlan& plan) {
  HostSequences result;
  for (const Span& span : plan.layout.spans) {
    if (span.parent >= 0) return result;
  }
  std::vector<bool> seen(plan.layout.spans.size(), false);
  for (std::size_t stream = 1; stream < plan.query_offsets.size(); ++stream) {
    auto query = static_cast<std::size_t>(plan.query_offsets[stream - 1]);
    const auto stream_end = static_cast<std::size_t>(plan.query_offsets[stream]);
    bool padding_ended_it = false;
    while (query < stream_end) {
      const std::int64_t span = plan.query_spans[query];
      std::int64_t key = plan.query_rows[query];
      std::size_t end = query + 1;
      while (end < stream_end && plan.query_spans[end] == span &&
             plan.query_rows[end] == plan.query_rows[end - 1] + 1) {
        ++end;
      }
      if (span < 0) {  // a run of padding is a sequence of its own, whose result is zeroed
        result.padded = true;
      } else {
        const auto index = static_cast<std::size_t>(span);
        if (seen[index]) return result;  // asks again behind a gap
        seen[index] = true;
        key = plan.layout.spans[index].begin;
      }
      for (; key <= plan.query_rows[end - 1]; ++key) result.key_rows.push_back(key);
      result.end_sequence(end);
      padding_ended_it = span < 0 && end == stream_end;
      query = end;
    }
    if (!padding_ended_it) result.end_sequence(stream_end);
  }
  result.possible = true;
  // Only bounds: rounded up, they are the same for most batches.
  constexpr std::int64_t kStep = 256;
  for (std::int64_t* longest : {&result.longest_query, &result.longest_key}) {
    *longest = (*longest + kStep - 1) / kStep * kStep;
  }
  return result;
}

FlashPlan make_flash_plan(const AttentionPlan& plan, c10::Device device) {
  const auto upload = [&](const auto& values, at::ScalarType type) {
    return sent(at::tensor(values, at::kLong).to(type), device);
  };
  FlashPlan result;
  std::vector<std::int64_t> real;
  for (const std::int64_t span : plan.query_spans) real.push_back(span >= 0 ? 1 : 0);
  result.query_index = upload(plan.query_rows, at::kLong);
  result.real = upload(real, at::kBool);
  HostSequences host = sequences_of(plan);
  if (!host.possible) return result;
  result.possible = true;
  result.padded = host.padded;
  result.sequences = {upload(host.query_offsets, at::kInt), upload(host.key_offsets, at::kInt), host.longest_query,
                      host.longest_key};
  const auto rows = static_cast<std::size_t>(plan.layout.rows());
  const bool all_ask = plan.query_rows.size() == rows;
  if (all_ask) {
    result.query_cosine = plan.cosine;
    result.query_sine = plan.sine;
    return result;  // then every row is a key of the sequence it lies in
  }
  result.query_cosine = plan.cosine.index_select(0, result.query_index);
  result.query_sine = plan.sine.index_select(0, result.query_index);
  std::vector<std::int64_t> unused(rows, 1);
  for (const std::int64_t row : host.key_rows) unused[static_cast<std::size_t>(row)] = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    if (unused[row] != 0) host.key_rows.push_back(static_cast<std::int64_t>(row));
  }
  result.key_rows = upload(host.key_rows, at::kLong);
  result.unused = upload(unused, at::kBool);
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
    const Operands in = operands_of(q, kv, flash, shape);
    const at::Tensor dout = gradients[0].contiguous().view({q.size(0), shape.heads, shape.head_dim});
    const FlashGradients d =
        flash_attention_backward(dout, in.q, in.k, in.v, {saved[2], saved[3], saved[4], saved[5]}, flash.sequences);
    at::Tensor dq = at::empty(q.sizes(), q.options());
    at::Tensor dkv = kv.defined() ? at::empty(kv.sizes(), kv.options()) : at::Tensor();
    put_queries(d.q, dq, flash, shape);
    put_keys(d, kv.defined() ? dkv : dq, kv.defined() ? 0 : shape.heads, flash, *plan, shape);
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
    at::Tensor columns = into.narrow(1, first * shape.head_dim, 2 * width);
    at::Tensor keys = columns.narrow(1, 0, width);
    at::Tensor values = columns.narrow(1, width, width);
    if (flash.key_rows.defined()) {
      keys.index_copy_(0, flash.key_rows, d.k.flatten(1));
      values.index_copy_(0, flash.key_rows, d.v.flatten(1));
      columns.masked_fill_(flash.unused.unsqueeze(1), 0.0);  // whatever flash attention has left there
      rotate_heads(keys, keys, plan.cosine, plan.sine, shape.kv_heads, shape.head_dim, true);
    } else {
      rotate_heads(d.k.contiguous().flatten(1), keys, plan.cosine, plan.sine, shape.kv_heads, shape.head_dim, true);
      values.copy_(d.v.flatten(1));
    }
  }
};

}  // namespace

std::vector<at::Tensor> FlashPlan::tensors() const {
  std::vector<at::Tensor> all;
  for (const at::Tensor& tensor : {query_index, real, sequences.query_offsets, sequences.key_offsets, key_rows, unused,
                                   query_cosine, query_sine}) {
    if (tensor.defined()) all.push_back(tensor);
  }
  return all;
}

std::vector<std::int64_t> flash_shape_of(const AttentionPlan& plan) {
  const HostSequences host = sequences_of(plan);
  if (!host.possible) return {0};
  return {1, host.padded ? 1 : 0, static_cast<std::int64_t>(host.query_offsets.size()), host.longest_query,
          host.longest_key};
}

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
