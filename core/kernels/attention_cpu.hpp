// The CPU kernel behind attention(): raw pointers in, raw pointers out.
#pragma once

#include <cstdint>

#include "core/kernels/attention.hpp"

namespace chorale {

/// Where q, k and v of a row lie; strides count elements between rows.
template <typename T>
struct AttentionInputs {
  const T* q = nullptr;  // one row per query
  const T* k = nullptr;  // one row per row
  const T* v = nullptr;
  std::int64_t q_stride = 0;
  std::int64_t kv_stride = 0;
};

template <typename T>
struct AttentionGradients {
  T* q = nullptr;  // laid out as the inputs
  T* k = nullptr;
  T* v = nullptr;
};

/// out: [queries, heads*head_dim], rows of padding stay as they are; log_sum: [queries, heads] natural log of the
/// softmax denominators.
void attention_forward_cpu(const AttentionInputs<float>& in, const AttentionPlan& plan, const HeadShape& shape,
                           float* out, float* log_sum);
void attention_forward_cpu(const AttentionInputs<double>& in, const AttentionPlan& plan, const HeadShape& shape,
                           double* out, double* log_sum);

/// gradient: of out, contiguous. Gradients in rows of padding stay as they are. They may go where the inputs stand.
void attention_backward_cpu(const AttentionInputs<float>& in, const AttentionPlan& plan, const HeadShape& shape,
                            const float* out, const float* log_sum, const float* gradient,
                            const AttentionGradients<float>& result);
void attention_backward_cpu(const AttentionInputs<double>& in, const AttentionPlan& plan, const HeadShape& shape,
                            const double* out, const double* log_sum, const double* gradient,
                            const AttentionGradients<double>& result);

}  // namespace chorale
