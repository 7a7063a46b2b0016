// One task per (stream, key/value head): it alone writes that head's key and value gradients, so no task waits for
// another and the order of every sum is fixed. Inside a task the queries run one by one over the ranges of rows their
// span may see.
#include "core/kernels/attention_cpu.hpp"

#include <ATen/Parallel.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/errors.hpp"
#include "core/kernels/simd.hpp"

namespace chorale {
namespace {

struct Range {
  std::int64_t begin = 0;  // relative to the stream's first row
  std::int64_t end = 0;
};

// Rows a query may see: its ancestors' spans and its own up to itself. Depth is small (common prefix, prompt, option).
constexpr std::int64_t kMaximumDepth = 8;
struct Visible {
  std::array<Range, kMaximumDepth> ranges;
  std::int64_t count = 0;
};

Visible visible_rows(const SequenceLayout& layout, std::int64_t span, std::int64_t row, std::int64_t first_row) {
  Visible visible;
  std::int64_t end = row + 1;
  while (span >= 0) {
    CHORALE_ASSERT(visible.count < kMaximumDepth, "spans nest too deeply");
    const Span& here = layout.spans[static_cast<std::size_t>(span)];
    visible.ranges[static_cast<std::size_t>(visible.count++)] = {here.begin - first_row, end - first_row};
    span = here.parent;
    if (span >= 0) end = layout.spans[static_cast<std::size_t>(span)].end;
  }
  return visible;
}

template <typename T>
CHORALE_INLINE void rotate(const T* in, const T* cosine, const T* sine, std::int64_t half, T scale, T* out) {
#pragma omp simd
  for (std::int64_t i = 0; i < half; ++i) {
    out[i] = (in[i] * cosine[i] - in[i + half] * sine[i]) * scale;
    out[i + half] = (in[i + half] * cosine[i] + in[i] * sine[i]) * scale;
  }
}

template <typename T>
CHORALE_INLINE void rotate_back(const T* in, const T* cosine, const T* sine, std::int64_t half, T scale, T* out) {
#pragma omp simd
  for (std::int64_t i = 0; i < half; ++i) {
    out[i] = (in[i] * cosine[i] + in[i + half] * sine[i]) * scale;
    out[i + half] = (in[i + half] * cosine[i] - in[i] * sine[i]) * scale;
  }
}

template <typename T>
CHORALE_INLINE T dot(const T* a, const T* b, std::int64_t n) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

template <typename T>
CHORALE_INLINE void add_scaled(T factor, const T* x, std::int64_t n, T* y) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

template <typename T>
struct Scratch {
  std::vector<T> keys, key_gradients, value_gradients, scores, q, q_gradient;
};

template <typename T>
CHORALE_INLINE void rotate_keys(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape,
                                const T* cosine, const T* sine, std::int64_t stream, std::int64_t kv_head,
                                std::vector<T>& keys) {
  const std::int64_t d = shape.head_dim;
  const std::int64_t begin = plan.layout.stream_offsets[static_cast<std::size_t>(stream)];
  const std::int64_t end = plan.layout.stream_offsets[static_cast<std::size_t>(stream) + 1];
  for (std::int64_t row = begin; row < end; ++row) {
    rotate(in.k + row * in.kv_stride + kv_head * d, cosine + row * (d / 2), sine + row * (d / 2), d / 2, T(1),
           keys.data() + (row - begin) * d);
  }
}

template <typename T>
CHORALE_INLINE void forward_task(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape,
                                 const T* cosine, const T* sine, T* out, T* log_sum, std::int64_t stream,
                                 std::int64_t kv_head, Scratch<T>& scratch) {
  const std::int64_t d = shape.head_dim;
  const std::int64_t group = shape.heads / shape.kv_heads;
  const std::int64_t first = plan.layout.stream_offsets[static_cast<std::size_t>(stream)];
  const T scale = T(1) / std::sqrt(static_cast<T>(d));
  rotate_keys(in, plan, shape, cosine, sine, stream, kv_head, scratch.keys);
  const T* values = in.v + first * in.kv_stride + kv_head * d;
  for (std::int64_t query = plan.query_offsets[static_cast<std::size_t>(stream)];
       query < plan.query_offsets[static_cast<std::size_t>(stream) + 1]; ++query) {
    const std::int64_t span = plan.query_spans[static_cast<std::size_t>(query)];
    if (span < 0) continue;
    const std::int64_t row = plan.query_rows[static_cast<std::size_t>(query)];
    const Visible visible = visible_rows(plan.layout, span, row, first);
    for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      rotate(in.q + query * in.q_stride + head * d, cosine + row * (d / 2), sine + row * (d / 2), d / 2, scale,
             scratch.q.data());
      T* score = scratch.scores.data();
      T maximum = -std::numeric_limits<T>::infinity();
      std::int64_t count = 0;
      for (std::int64_t r = 0; r < visible.count; ++r) {
        const Range range = visible.ranges[static_cast<std::size_t>(r)];
        for (std::int64_t j = range.begin; j < range.end; ++j, ++count) {
          score[count] = dot(scratch.q.data(), scratch.keys.data() + j * d, d);
          maximum = score[count] > maximum ? score[count] : maximum;
        }
      }
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t j = 0; j < count; ++j) {
        score[j] = simd::exponential(score[j] - maximum);
        sum += score[j];
      }
      log_sum[query * shape.heads + head] = maximum + std::log(sum);
      T* result = out + (query * shape.heads + head) * d;
      count = 0;
      for (std::int64_t r = 0; r < visible.count; ++r) {
        const Range range = visible.ranges[static_cast<std::size_t>(r)];
        for (std::int64_t j = range.begin; j < range.end; ++j, ++count) {
          add_scaled(score[count] / sum, values + j * in.kv_stride, d, result);
        }
      }
    }
  }
}

// With P the softmax and D = sum(dO * O) per row: dV = P^T dO, dS = P * (dO V^T - D), dQ = dS K, dK = dS^T Q.
template <typename T>
CHORALE_INLINE void backward_task(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape,
                                  const T* cosine, const T* sine, const T* out, const T* log_sum, const T* gradient,
                                  const AttentionGradients<T>& result, std::int64_t stream, std::int64_t kv_head,
                                  Scratch<T>& scratch) {
  const std::int64_t d = shape.head_dim;
  const std::int64_t half = d / 2;
  const std::int64_t group = shape.heads / shape.kv_heads;
  const std::int64_t first = plan.layout.stream_offsets[static_cast<std::size_t>(stream)];
  const std::int64_t rows = plan.layout.stream_offsets[static_cast<std::size_t>(stream) + 1] - first;
  const T scale = T(1) / std::sqrt(static_cast<T>(d));
  rotate_keys(in, plan, shape, cosine, sine, stream, kv_head, scratch.keys);
  scratch.key_gradients.assign(static_cast<std::size_t>(rows * d), T(0));
  scratch.value_gradients.assign(static_cast<std::size_t>(rows * d), T(0));
  const T* values = in.v + first * in.kv_stride + kv_head * d;
  for (std::int64_t query = plan.query_offsets[static_cast<std::size_t>(stream)];
       query < plan.query_offsets[static_cast<std::size_t>(stream) + 1]; ++query) {
    const std::int64_t span = plan.query_spans[static_cast<std::size_t>(query)];
    if (span < 0) continue;
    const std::int64_t row = plan.query_rows[static_cast<std::size_t>(query)];
    const Visible visible = visible_rows(plan.layout, span, row, first);
    for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      rotate(in.q + query * in.q_stride + head * d, cosine + row * half, sine + row * half, half, scale,
             scratch.q.data());
      const std::int64_t cell = query * shape.heads + head;
      const T* dy = gradient + cell * d;
      const T delta = dot(dy, out + cell * d, d);
      const T log_total = log_sum[cell];
      T* dq = scratch.q_gradient.data();
      for (std::int64_t i = 0; i < d; ++i) dq[i] = T(0);
      for (std::int64_t r = 0; r < visible.count; ++r) {
        const Range range = visible.ranges[static_cast<std::size_t>(r)];
        for (std::int64_t j = range.begin; j < range.end; ++j) {
          const T* key = scratch.keys.data() + j * d;
          const T probability = simd::exponential(dot(scratch.q.data(), key, d) - log_total);
          const T score_gradient = probability * (dot(dy, values + j * in.kv_stride, d) - delta);
          add_scaled(probability, dy, d, scratch.value_gradients.data() + j * d);
          add_scaled(score_gradient, scratch.q.data(), d, scratch.key_gradients.data() + j * d);
          add_scaled(score_gradient, key, d, dq);
        }
      }
      rotate_back(dq, cosine + row * half, sine + row * half, half, scale, result.q + query * in.q_stride + head * d);
    }
  }
  for (std::int64_t j = 0; j < rows; ++j) {
    const std::int64_t row = first + j;
    rotate_back(scratch.key_gradients.data() + j * d, cosine + row * half, sine + row * half, half, T(1),
                result.k + row * in.kv_stride + kv_head * d);
    T* dv = result.v + row * in.kv_stride + kv_head * d;
    const T* sum = scratch.value_gradients.data() + j * d;
    for (std::int64_t i = 0; i < d; ++i) dv[i] = sum[i];
  }
}

CHORALE_SIMD void forward_f32(const AttentionInputs<float>& in, const AttentionPlan& plan, const HeadShape& shape,
                              const float* c, const float* s, float* out, float* log_sum, std::int64_t stream,
                              std::int64_t head, Scratch<float>& scratch) {
  forward_task(in, plan, shape, c, s, out, log_sum, stream, head, scratch);
}
CHORALE_SIMD void forward_f64(const AttentionInputs<double>& in, const AttentionPlan& plan, const HeadShape& shape,
                              const double* c, const double* s, double* out, double* log_sum, std::int64_t stream,
                              std::int64_t head, Scratch<double>& scratch) {
  forward_task(in, plan, shape, c, s, out, log_sum, stream, head, scratch);
}
CHORALE_SIMD void backward_f32(const AttentionInputs<float>& in, const AttentionPlan& plan, const HeadShape& shape,
                               const float* c, const float* s, const float* out, const float* log_sum,
                               const float* gradient, const AttentionGradients<float>& result, std::int64_t stream,
                               std::int64_t head, Scratch<float>& scratch) {
  backward_task(in, plan, shape, c, s, out, log_sum, gradient, result, stream, head, scratch);
}
CHORALE_SIMD void backward_f64(const AttentionInputs<double>& in, const AttentionPlan& plan, const HeadShape& shape,
                               const double* c, const double* s, const double* out, const double* log_sum,
                               const double* gradient, const AttentionGradients<double>& result, std::int64_t stream,
                               std::int64_t head, Scratch<double>& scratch) {
  backward_task(in, plan, shape, c, s, out, log_sum, gradient, result, stream, head, scratch);
}

// Calls task(stream, kv_head, scratch) for all of them, each thread with scratch of its own.
template <typename T, typename Task>
void for_tasks(const AttentionPlan& plan, const HeadShape& shape, const Task& task) {
  std::int64_t longest = 0;
  for (std::size_t s = 0; s + 1 < plan.layout.stream_offsets.size(); ++s) {
    longest = std::max(longest, plan.layout.stream_offsets[s + 1] - plan.layout.stream_offsets[s]);
  }
  at::parallel_for(0, plan.layout.streams() * shape.kv_heads, 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch<T> scratch;
    scratch.keys.resize(static_cast<std::size_t>(longest * shape.head_dim));
    scratch.scores.resize(static_cast<std::size_t>(longest));
    scratch.q.resize(static_cast<std::size_t>(shape.head_dim));
    scratch.q_gradient.resize(static_cast<std::size_t>(shape.head_dim));
    for (std::int64_t i = begin; i < end; ++i) task(i / shape.kv_heads, i % shape.kv_heads, scratch);
  });
}

}  // namespace

void attention_forward_cpu(const AttentionInputs<float>& in, const AttentionPlan& plan, const HeadShape& shape,
                           float* out, float* log_sum) {
  const auto* c = plan.cosine.const_data_ptr<float>();
  const auto* s = plan.sine.const_data_ptr<float>();
  for_tasks<float>(plan, shape, [&](std::int64_t stream, std::int64_t head, Scratch<float>& scratch) {
    forward_f32(in, plan, shape, c, s, out, log_sum, stream, head, scratch);
  });
}

void attention_forward_cpu(const AttentionInputs<double>& in, const AttentionPlan& plan, const HeadShape& shape,
                           double* out, double* log_sum) {
  const auto* c = plan.cosine.const_data_ptr<double>();
  const auto* s = plan.sine.const_data_ptr<double>();
  for_tasks<double>(plan, shape, [&](std::int64_t stream, std::int64_t head, Scratch<double>& scratch) {
    forward_f64(in, plan, shape, c, s, out, log_sum, stream, head, scratch);
  });
}

void attention_backward_cpu(const AttentionInputs<float>& in, const AttentionPlan& plan, const HeadShape& shape,
                            const float* out, const float* log_sum, const float* gradient,
                            const AttentionGradients<float>& result) {
  const auto* c = plan.cosine.const_data_ptr<float>();
  const auto* s = plan.sine.const_data_ptr<float>();
  for_tasks<float>(plan, shape, [&](std::int64_t stream, std::int64_t head, Scratch<float>& scratch) {
    backward_f32(in, plan, shape, c, s, out, log_sum, gradient, result, stream, head, scratch);
  });
}

void attention_backward_cpu(const AttentionInputs<double>& in, const AttentionPlan& plan, const HeadShape& shape,
                            const double* out, const double* log_sum, const double* gradient,
                            const AttentionGradients<double>& result) {
  const auto* c = plan.cosine.const_data_ptr<double>();
  const auto* s = plan.sine.const_data_ptr<double>();
  for_tasks<double>(plan, shape, [&](std::int64_t stream, std::int64_t head, Scratch<double>& scratch) {
    backward_f64(in, plan, shape, c, s, out, log_sum, gradient, result, stream, head, scratch);
  });
}

}  // namespace chorale
