#include "core/kernels/attention.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/base/errors.hpp"
#include "core/kernels/attention_cpu.hpp"
#include "core/kernels/attention_flash.hpp"
#include "core/kernels/flash_plan.hpp"
#include "core/kernels/sent.hpp"

namespace chorale {
namespace {

template <typename T>
AttentionInputs<T> inputs_of(const at::Tensor& queries, const at::Tensor& keys_values, const HeadShape& shape) {
  const std::int64_t d = shape.head_dim;
  AttentionInputs<T> in;
  in.q = queries.const_data_ptr<T>();
  in.q_stride = queries.size(1);
  const at::Tensor& source = keys_values.defined() ? keys_values : queries;
  in.k = source.const_data_ptr<T>() + (keys_values.defined() ? 0 : shape.heads * d);
  in.v = in.k + shape.kv_heads * d;
  in.kv_stride = source.size(1);
  return in;
}

// Rows of padding get no values from the kernel: zeros have to stand there before.
at::Tensor room_for_rows(at::IntArrayRef sizes, const at::TensorOptions& options, bool padded) {
  return padded ? at::zeros(sizes, options) : at::empty(sizes, options);
}

bool has_padding_queries(const AttentionPlan& plan) {
  return std::any_of(plan.query_spans.begin(), plan.query_spans.end(), [](std::int64_t span) { return span < 0; });
}

bool has_padding_rows(const AttentionPlan& plan) {
  std::int64_t real = 0;
  for (const Span& span : plan.layout.spans) real += span.end - span.begin;
  return real < plan.layout.rows();
}

class PackedAttention : public torch::autograd::Function<PackedAttention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& queries,
                            const std::optional<at::Tensor>& beside, const AttentionPlanPtr& plan, HeadShape shape,
                            bool may_overwrite) {
    const at::Tensor keys_values = beside.value_or(at::Tensor());
    const auto count = static_cast<std::int64_t>(plan->query_rows.size());
    at::Tensor out =
        room_for_rows({count, shape.heads * shape.head_dim}, queries.options(), has_padding_queries(*plan));
    at::Tensor log_sum = at::empty({count, shape.heads}, queries.options());
    if (queries.scalar_type() == at::kFloat) {
      attention_forward_cpu(inputs_of<float>(queries, keys_values, shape), *plan, shape, out.mutable_data_ptr<float>(),
                            log_sum.mutable_data_ptr<float>());
    } else {
      attention_forward_cpu(inputs_of<double>(queries, keys_values, shape), *plan, shape,
                            out.mutable_data_ptr<double>(), log_sum.mutable_data_ptr<double>());
    }
    context->save_for_backward({queries, keys_values, out, log_sum});
    context->saved_data["plan"] = c10::IValue::make_capsule(plan);
    context->saved_data["may_overwrite"] = may_overwrite;
    context->saved_data["heads"] = shape.heads;
    context->saved_data["kv_heads"] = shape.kv_heads;
    context->saved_data["head_dim"] = shape.head_dim;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto plan = c10::static_intrusive_pointer_cast<AttentionPlan>(context->saved_data["plan"].toCapsule());
    const HeadShape shape{context->saved_data["heads"].toInt(), context->saved_data["kv_heads"].toInt(),
                          context->saved_data["head_dim"].toInt()};
    const at::Tensor dy = gradients[0].contiguous();
    // The kernel has read a row before it writes its gradient: in place, less memory goes through the caches.
    const bool in_place = context->saved_data["may_overwrite"].toBool();
    const auto room = [&](const at::Tensor& input, bool padded) {
      return in_place && !padded ? input.detach() : room_for_rows(input.sizes(), input.options(), padded);
    };
    const bool padded_rows = has_padding_rows(*plan);
    at::Tensor dq = room(saved[0], has_padding_queries(*plan) || (!saved[1].defined() && padded_rows));
    at::Tensor dkv = saved[1].defined() ? room(saved[1], padded_rows) : at::Tensor();
    if (dy.scalar_type() == at::kFloat) {
      run_backward<float>(saved, *plan, shape, dy, dq, dkv);
    } else {
      run_backward<double>(saved, *plan, shape, dy, dq, dkv);
    }
    return {dq, dkv, at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  template <typename T>
  static void run_backward(const torch::autograd::variable_list& saved, const AttentionPlan& plan,
                           const HeadShape& shape, const at::Tensor& dy, at::Tensor& dq, at::Tensor& dkv) {
    AttentionGradients<T> result;
    result.q = dq.mutable_data_ptr<T>();
    result.k = dkv.defined() ? dkv.mutable_data_ptr<T>() : result.q + shape.heads * shape.head_dim;
    result.v = result.k + shape.kv_heads * shape.head_dim;
    attention_backward_cpu(inputs_of<T>(saved[0], saved[1], shape), plan, shape, saved[2].const_data_ptr<T>(),
                           saved[3].const_data_ptr<T>(), dy.const_data_ptr<T>(), result);
  }
};

// x: [n, heads, d]; cosine, sine: [n, d/2].
at::Tensor rotate_plain(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor c = cosine.unsqueeze(1);
  const at::Tensor s = sine.unsqueeze(1);
  const at::Tensor low = x.narrow(-1, 0, half);
  const at::Tensor high = x.narrow(-1, half, half);
  return at::cat({low * c - high * s, high * c + low * s}, -1).to(x.scalar_type());
}

const at::Tensor& mask_of(const AttentionPlan& plan, c10::Device device) {
  if (plan.mask.defined()) return plan.mask;
  const auto queries = static_cast<std::int64_t>(plan.query_rows.size());
  at::Tensor mask = at::zeros({queries, plan.layout.rows()}, at::kBool);
  for (std::int64_t query = 0; query < queries; ++query) {
    std::int64_t span = plan.query_spans[static_cast<std::size_t>(query)];
    const std::int64_t row = plan.query_rows[static_cast<std::size_t>(query)];
    // A padding row looks at itself alone: a softmax over nothing would be NaN. Its result is zeroed afterwards.
    if (span < 0) mask[query].narrow(0, row, 1).fill_(true);
    std::int64_t end = row + 1;
    while (span >= 0) {
      const Span& here = plan.layout.spans[static_cast<std::size_t>(span)];
      mask[query].narrow(0, here.begin, end - here.begin).fill_(true);
      span = here.parent;
      if (span >= 0) end = plan.layout.spans[static_cast<std::size_t>(span)].end;
    }
  }
  plan.mask = sent(mask, device);
  return plan.mask;
}

}  // namespace

std::vector<at::Tensor> AttentionPlan::tensors() const {
  std::vector<at::Tensor> all = {cosine, sine};
  if (mask.defined()) all.push_back(mask);
  if (flash) {
    for (const at::Tensor& tensor : flash->tensors()) all.push_back(tensor);
  }
  return all;
}

std::vector<std::int64_t> AttentionPlan::shape() const {
  std::vector<std::int64_t> all = {layout.rows(), static_cast<std::int64_t>(query_rows.size())};
  for (const std::int64_t number : flash_shape_of(*this)) all.push_back(number);
  return all;
}

void AttentionPlan::take(const AttentionPlan& other) {
  // What this plan's passes have needed so far, the other's will need.
  if (mask.defined()) (void)mask_of(other, mask.device());
  if (flash) (void)flash_plan_of(other, flash->query_index.device());
  const std::vector<at::Tensor> own = tensors();
  const std::vector<at::Tensor> theirs = other.tensors();
  CHORALE_ASSERT(own.size() == theirs.size(), "plans of the same shape hold the same tensors");
  for (std::size_t i = 0; i < own.size(); ++i) own[i].copy_(theirs[i], /*non_blocking=*/true);
  layout = other.layout;
  query_rows = other.query_rows;
  query_spans = other.query_spans;
  query_offsets = other.query_offsets;
}

AttentionPlanPtr make_attention_plan(const SequenceLayout& layout, const std::vector<std::int64_t>* query_rows) {
  auto plan = c10::make_intrusive<AttentionPlan>();
  plan->layout = layout;
  std::vector<std::int64_t> span_of_row(static_cast<std::size_t>(layout.rows()), -1);
  for (std::size_t i = 0; i < layout.spans.size(); ++i) {
    for (std::int64_t row = layout.spans[i].begin; row < layout.spans[i].end; ++row) {
      span_of_row[static_cast<std::size_t>(row)] = static_cast<std::int64_t>(i);
    }
  }
  if (query_rows != nullptr) {
    plan->query_rows = *query_rows;
  } else {
    plan->query_rows.resize(static_cast<std::size_t>(layout.rows()));
    std::iota(plan->query_rows.begin(), plan->query_rows.end(), 0);
  }
  plan->query_offsets = {0};
  std::size_t query = 0;
  for (std::size_t stream = 1; stream < layout.stream_offsets.size(); ++stream) {
    while (query < plan->query_rows.size() && plan->query_rows[query] < layout.stream_offsets[stream]) ++query;
    plan->query_offsets.push_back(static_cast<std::int64_t>(query));
  }
  CHORALE_ASSERT(query == plan->query_rows.size(), "query rows must ascend and lie inside the layout");
  for (const std::int64_t row : plan->query_rows)
    plan->query_spans.push_back(span_of_row[static_cast<std::size_t>(row)]);
  return plan;
}

at::Tensor attention(const at::Tensor& queries, const at::Tensor& keys_values, const AttentionPlanPtr& plan,
                     const HeadShape& shape, bool may_overwrite) {
  if (attention_flash_takes(queries, *plan, shape)) {
    return attention_flash(queries, keys_values, plan, shape, may_overwrite);
  }
  const bool fused = queries.is_cpu() && (queries.scalar_type() == at::kFloat || queries.scalar_type() == at::kDouble);
  if (!fused) return attention_plain(queries, keys_values, plan, shape);
  // autograd::Function takes an absent tensor as an empty optional only.
  const std::optional<at::Tensor> beside =
      keys_values.defined() ? std::optional<at::Tensor>(keys_values.contiguous()) : std::nullopt;
  return PackedAttention::apply(queries.contiguous(), beside, plan, shape, may_overwrite);
}

at::Tensor attention_plain(const at::Tensor& queries, const at::Tensor& keys_values, const AttentionPlanPtr& plan,
                           const HeadShape& shape) {
  const std::int64_t d = shape.head_dim;
  const auto count = static_cast<std::int64_t>(plan->query_rows.size());
  const std::int64_t rows = plan->layout.rows();
  const at::Tensor kv =
      keys_values.defined() ? keys_values : queries.narrow(1, shape.heads * d, 2 * shape.kv_heads * d);
  at::Tensor q = queries.narrow(1, 0, shape.heads * d).reshape({count, shape.heads, d});
  at::Tensor k = kv.narrow(1, 0, shape.kv_heads * d).reshape({rows, shape.kv_heads, d});
  at::Tensor v = kv.narrow(1, shape.kv_heads * d, shape.kv_heads * d).reshape({rows, shape.kv_heads, d});
  const FlashPlan& rows_of = flash_plan_of(*plan, queries.device());
  const at::Tensor& index = rows_of.query_index;
  q = rotate_plain(q, plan->cosine.index_select(0, index), plan->sine.index_select(0, index));
  k = rotate_plain(k, plan->cosine, plan->sine);
  const std::int64_t group = shape.heads / shape.kv_heads;
  k = k.repeat_interleave(group, 1);
  v = v.repeat_interleave(group, 1);
  const at::Tensor mask = mask_of(*plan, queries.device());
  at::Tensor out = at::scaled_dot_product_attention(q.transpose(0, 1).unsqueeze(0), k.transpose(0, 1).unsqueeze(0),
                                                    v.transpose(0, 1).unsqueeze(0), mask);
  out = out.squeeze(0).transpose(0, 1).reshape({count, shape.heads * d});
  return out * rows_of.real.unsqueeze(1).to(out.scalar_type());
}

}  // namespace chorale
