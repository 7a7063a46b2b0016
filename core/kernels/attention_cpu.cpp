// One task per (stream, key/value head): it alone writes that head's key and value gradients, so no task waits for
// another and the order of every sum is fixed. Inside a task, blocks of queries of one span meet the spans they may see
// as small matrix products; a causal block's last columns are computed for nothing and set to zero.
#include "core/kernels/attention_cpu.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/errors.hpp"
#include "core/kernels/simd.hpp"
#include "core/kernels/small_product.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kBlock = 16;  // queries at a time

// Rows a query may see: its ancestors' spans and its own up to itself. Depth is small (common prefix, prompt, option).
constexpr std::int64_t kMaximumDepth = 8;

// A span's rows and columns among those of its stream: columns start at a multiple of a panel.
struct Place {
  std::int64_t first_row = 0;
  std::int64_t column = 0;
  std::int64_t rows = 0;
};

// A block's keys in one span: `place` and where their scores stand in the block's score rows.
struct Range {
  Place place;
  std::int64_t score = 0;
  std::int64_t width = 0;  // columns computed: whole panels
};

// Consecutive queries of one span, and the spans they see; the first range is their own.
struct Block {
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::array<Range, kMaximumDepth> ranges;
  std::int64_t range_count = 0;
  std::int64_t width = 0;                        // of a score row
  std::array<std::int64_t, kBlock> own_visible;  // keys of its own span that a query sees
};

std::int64_t whole_panels(std::int64_t count, std::int64_t panel) {
  return (count + panel - 1) / panel * panel;
}

// Where every span's keys stand in the packed keys of its stream.
struct Places {
  std::vector<Place> spans;
  std::int64_t rows = 0;     // of the longest stream
  std::int64_t columns = 0;  // of the widest stream
  std::int64_t seen = 0;     // columns that the queries of one span see at most

  Places(const AttentionPlan& plan, std::int64_t panel) : spans(plan.layout.spans.size()) {
    const SequenceLayout& layout = plan.layout;
    std::vector<std::int64_t> visible;
    for (std::size_t s = 0; s + 1 < layout.stream_offsets.size(); ++s) {
      std::int64_t column = 0;
      for (std::int64_t i = layout.stream_span_offsets[s]; i < layout.stream_span_offsets[s + 1]; ++i) {
        const Span& span = layout.spans[static_cast<std::size_t>(i)];
        const std::int64_t count = span.end - span.begin;
        spans[static_cast<std::size_t>(i)] = {span.begin - layout.stream_offsets[s], column, count};
        column += whole_panels(count, panel);
        const std::int64_t before = span.parent < 0 ? 0 : visible[static_cast<std::size_t>(span.parent)];
        visible.push_back(before + whole_panels(count, panel));
        seen = std::max(seen, visible.back());
      }
      columns = std::max(columns, column);
      rows = std::max(rows, layout.stream_offsets[s + 1] - layout.stream_offsets[s]);
    }
  }
};

Block block_at(const AttentionPlan& plan, const Places& places, std::int64_t stream, std::int64_t query,
               std::int64_t panel) {
  Block block;
  block.first = query;
  const std::int64_t end = plan.query_offsets[static_cast<std::size_t>(stream) + 1];
  const std::int64_t span = plan.query_spans[static_cast<std::size_t>(query)];
  if (span < 0) {  // padding: nothing to see
    block.count = 1;
    return block;
  }
  const std::int64_t begin = plan.layout.spans[static_cast<std::size_t>(span)].begin;
  while (block.count < kBlock && query + block.count < end &&
         plan.query_spans[static_cast<std::size_t>(query + block.count)] == span) {
    const std::int64_t row = plan.query_rows[static_cast<std::size_t>(query + block.count)];
    block.own_visible[static_cast<std::size_t>(block.count++)] = row + 1 - begin;
  }
  for (std::int64_t at = span; at >= 0; at = plan.layout.spans[static_cast<std::size_t>(at)].parent) {
    CHORALE_ASSERT(block.range_count < kMaximumDepth, "spans nest too deeply");
    Range& range = block.ranges[static_cast<std::size_t>(block.range_count++)];
    range.place = places.spans[static_cast<std::size_t>(at)];
    if (at == span) range.place.rows = block.own_visible[static_cast<std::size_t>(block.count - 1)];
    range.score = block.width;
    range.width = whole_panels(range.place.rows, panel);
    block.width += range.width;
  }
  return block;
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

// Exponentials of a row's visible scores less `shift`, zeros behind them; returns the sum.
template <typename T>
CHORALE_INLINE T exponentials(T* score, std::int64_t visible, std::int64_t width, T shift) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t j = 0; j < visible; ++j) {
    score[j] = simd::exponential(score[j] - shift);
    sum += score[j];
  }
  for (std::int64_t j = visible; j < width; ++j) score[j] = 0;
  return sum;
}

template <typename T>
CHORALE_INLINE T largest(const T* score, std::int64_t count, T so_far) {
#pragma omp simd reduction(max : so_far)
  for (std::int64_t j = 0; j < count; ++j) so_far = score[j] > so_far ? score[j] : so_far;
  return so_far;
}

std::int64_t visible_of(const Block& block, std::int64_t range, std::int64_t query) {
  return range == 0 ? block.own_visible[static_cast<std::size_t>(query)]
                    : block.ranges[static_cast<std::size_t>(range)].place.rows;
}

// Turns scores into exp(score - maximum) and returns maximum and sum.
template <typename T>
CHORALE_INLINE void softmax_row(T* scores, const Block& block, std::int64_t query, T& maximum, T& sum) {
  maximum = -std::numeric_limits<T>::infinity();
  for (std::int64_t r = 0; r < block.range_count; ++r) {
    maximum = largest(scores + block.ranges[static_cast<std::size_t>(r)].score, visible_of(block, r, query), maximum);
  }
  sum = 0;
  for (std::int64_t r = 0; r < block.range_count; ++r) {
    const Range& range = block.ranges[static_cast<std::size_t>(r)];
    sum += exponentials(scores + range.score, visible_of(block, r, query), range.width, maximum);
  }
}

// P from scores and the logarithm of their sum, and dS = P * (dP - delta) into dP.
template <typename T>
CHORALE_INLINE void softmax_row_backward(T* scores, T* gradient, const Block& block, std::int64_t query, T log_total,
                                         T delta) {
  for (std::int64_t r = 0; r < block.range_count; ++r) {
    const Range& range = block.ranges[static_cast<std::size_t>(r)];
    T* p = scores + range.score;
    T* d = gradient + range.score;
    exponentials(p, visible_of(block, r, query), range.width, log_total);
#pragma omp simd
    for (std::int64_t j = 0; j < range.width; ++j) d[j] = p[j] * (d[j] - delta);
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
CHORALE_INLINE void divide(T* x, std::int64_t n, T by) {
  const T factor = T(1) / by;
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) x[i] *= factor;
}

CHORALE_SIMD void rotate_row(const float* x, const float* c, const float* s, std::int64_t half, float scale, float* y) {
  rotate(x, c, s, half, scale, y);
}
CHORALE_SIMD void rotate_row(const double* x, const double* c, const double* s, std::int64_t half, double scale,
                             double* y) {
  rotate(x, c, s, half, scale, y);
}
CHORALE_SIMD void rotate_row_back(const float* x, const float* c, const float* s, std::int64_t half, float scale,
                                  float* y) {
  rotate_back(x, c, s, half, scale, y);
}
CHORALE_SIMD void rotate_row_back(const double* x, const double* c, const double* s, std::int64_t half, double scale,
                                  double* y) {
  rotate_back(x, c, s, half, scale, y);
}
CHORALE_SIMD void softmax(float* scores, const Block& block, std::int64_t stride, float* maximum, float* sum) {
  for (std::int64_t i = 0; i < block.count; ++i) softmax_row(scores + i * stride, block, i, maximum[i], sum[i]);
}
CHORALE_SIMD void softmax(double* scores, const Block& block, std::int64_t stride, double* maximum, double* sum) {
  for (std::int64_t i = 0; i < block.count; ++i) softmax_row(scores + i * stride, block, i, maximum[i], sum[i]);
}
CHORALE_SIMD void divide_row(float* x, std::int64_t n, float by) {
  divide(x, n, by);
}
CHORALE_SIMD void divide_row(double* x, std::int64_t n, double by) {
  divide(x, n, by);
}
// out and dy: rows of the block, `row` elements apart; log_sum: `heads` apart.
CHORALE_SIMD void softmax_backward(float* scores, float* gradient, const Block& block, std::int64_t stride,
                                   const float* log_sum, std::int64_t heads, const float* out, const float* dy,
                                   std::int64_t row, std::int64_t d) {
  for (std::int64_t i = 0; i < block.count; ++i) {
    softmax_row_backward(scores + i * stride, gradient + i * stride, block, i, log_sum[i * heads],
                         dot(out + i * row, dy + i * row, d));
  }
}
CHORALE_SIMD void softmax_backward(double* scores, double* gradient, const Block& block, std::int64_t stride,
                                   const double* log_sum, std::int64_t heads, const double* out, const double* dy,
                                   std::int64_t row, std::int64_t d) {
  for (std::int64_t i = 0; i < block.count; ++i) {
    softmax_row_backward(scores + i * stride, gradient + i * stride, block, i, log_sum[i * heads],
                         dot(out + i * row, dy + i * row, d));
  }
}

// What a thread works in; sized once for all its tasks.
template <typename T>
struct Scratch {
  std::vector<T> keys;                     // [rows, d] rotated
  std::vector<T> packed_keys;              // [columns / panel][d][panel]
  std::vector<T> packed_values;            // likewise; backward only
  std::vector<T> key_gradients;            // [rows, d]; backward only
  std::vector<T> value_gradients;          // [rows, d]; backward only
  std::vector<T> q, q_gradient;            // [kBlock, d]
  std::vector<T> scores, score_gradients;  // [kBlock, columns]
};

template <typename T>
class Task {
 public:
  Task(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape, const Places& places,
       Scratch<T>& scratch)
      : in_(in),
        plan_(plan),
        shape_(shape),
        places_(places),
        scratch_(scratch),
        cosine_(plan.cosine.const_data_ptr<T>()),
        sine_(plan.sine.const_data_ptr<T>()),
        d_(shape.head_dim),
        scale_(T(1) / std::sqrt(static_cast<T>(shape.head_dim))) {}

  void forward(std::int64_t stream, std::int64_t kv_head, T* out, T* log_sum) {
    start(stream, kv_head);
    const std::int64_t row = shape_.heads * d_;
    for_blocks(stream, kv_head, [&](const Block& block, std::int64_t head) {
      score(block, head);
      std::array<T, kBlock> maximum;
      std::array<T, kBlock> sum;
      softmax(scratch_.scores.data(), block, block.width, maximum.data(), sum.data());
      T* result = out + (block.first * shape_.heads + head) * d_;
      for (std::int64_t r = 0; r < block.range_count; ++r) {
        const Range& range = block.ranges[static_cast<std::size_t>(r)];
        const T* values = values_ + range.place.first_row * in_.kv_stride;
        small_product_add(LeftFactor<T>{scratch_.scores.data() + range.score, block.width, 1},
                          RightFactor<T>{values, in_.kv_stride, kPanel<T>}, Rows<T>{result, row}, block.count, d_,
                          range.place.rows, T(1));
      }
      for (std::int64_t i = 0; i < block.count; ++i) {
        const auto index = static_cast<std::size_t>(i);
        divide_row(result + i * row, d_, sum[index]);
        log_sum[(block.first + i) * shape_.heads + head] = maximum[index] + std::log(sum[index]);
      }
    });
  }

  // With P the softmax and D = sum(dO * O) per row: dV = P^T dO, dS = P * (dO V^T - D), dQ = dS K, dK = dS^T Q.
  void backward(std::int64_t stream, std::int64_t kv_head, const T* out, const T* log_sum, const T* gradient,
                const AttentionGradients<T>& result) {
    start(stream, kv_head);
    pack(values_, in_.kv_stride, stream, scratch_.packed_values);
    const std::int64_t rows = plan_.layout.stream_offsets[static_cast<std::size_t>(stream) + 1] - first_;
    std::fill_n(scratch_.key_gradients.begin(), rows * d_, T(0));
    std::fill_n(scratch_.value_gradients.begin(), rows * d_, T(0));
    const std::int64_t row = shape_.heads * d_;
    for_blocks(stream, kv_head, [&](const Block& block, std::int64_t head) {
      score(block, head);
      const std::int64_t cell = (block.first * shape_.heads + head) * d_;
      const T* dy = gradient + cell;
      for (std::int64_t r = 0; r < block.range_count; ++r) {
        const Range& range = block.ranges[static_cast<std::size_t>(r)];
        small_product(LeftFactor<T>{dy, row, 1}, packed(scratch_.packed_values, range),
                      Rows<T>{scratch_.score_gradients.data() + range.score, block.width}, block.count, range.width, d_,
                      T(1));
      }
      softmax_backward(scratch_.scores.data(), scratch_.score_gradients.data(), block, block.width,
                       log_sum + block.first * shape_.heads + head, shape_.heads, out + cell, dy, row, d_);
      std::fill_n(scratch_.q_gradient.begin(), block.count * d_, T(0));
      for (std::int64_t r = 0; r < block.range_count; ++r) add_gradients(block, r, dy, row);
      for (std::int64_t i = 0; i < block.count; ++i) {
        const std::int64_t at = turn_of(block.first + i);
        rotate_row_back(scratch_.q_gradient.data() + i * d_, cosine_ + at, sine_ + at, d_ / 2, scale_,
                        result.q + (block.first + i) * in_.q_stride + head * d_);
      }
    });
    for (std::int64_t j = 0; j < rows; ++j) {
      const std::int64_t at = (first_ + j) * (d_ / 2);
      rotate_row_back(scratch_.key_gradients.data() + j * d_, cosine_ + at, sine_ + at, d_ / 2, T(1),
                      result.k + (first_ + j) * in_.kv_stride + kv_head * d_);
      std::copy_n(scratch_.value_gradients.begin() + j * d_, d_,
                  result.v + (first_ + j) * in_.kv_stride + kv_head * d_);
    }
  }

 private:
  // Rotates and packs the keys of one head.
  void start(std::int64_t stream, std::int64_t kv_head) {
    first_ = plan_.layout.stream_offsets[static_cast<std::size_t>(stream)];
    const std::int64_t end = plan_.layout.stream_offsets[static_cast<std::size_t>(stream) + 1];
    values_ = in_.v + first_ * in_.kv_stride + kv_head * d_;
    for (std::int64_t row = first_; row < end; ++row) {
      const std::int64_t at = row * (d_ / 2);
      rotate_row(in_.k + row * in_.kv_stride + kv_head * d_, cosine_ + at, sine_ + at, d_ / 2, T(1),
                 scratch_.keys.data() + (row - first_) * d_);
    }
    pack(scratch_.keys.data(), d_, stream, scratch_.packed_keys);
  }

  // Rows of every span, transposed, in panels; the last panel of a span is filled up with zeros.
  void pack(const T* rows, std::int64_t stride, std::int64_t stream, std::vector<T>& panels) const {
    const auto s = static_cast<std::size_t>(stream);
    for (std::int64_t i = plan_.layout.stream_span_offsets[s]; i < plan_.layout.stream_span_offsets[s + 1]; ++i) {
      const Place& place = places_.spans[static_cast<std::size_t>(i)];
      for (std::int64_t begin = 0; begin < place.rows; begin += kPanel<T>) {
        const std::int64_t count = std::min(kPanel<T>, place.rows - begin);
        T* out = panels.data() + (place.column + begin) * d_;
        if (count < kPanel<T>) std::fill_n(out, kPanel<T> * d_, T(0));
        transpose_rows(Rows<const T>{rows + (place.first_row + begin) * stride, stride}, Rows<T>{out, kPanel<T>}, count,
                       d_);
      }
    }
  }

  [[nodiscard]] RightFactor<T> packed(const std::vector<T>& panels, const Range& range) const {
    return {panels.data() + range.place.column * d_, kPanel<T>, kPanel<T> * d_};
  }

  [[nodiscard]] std::int64_t turn_of(std::int64_t query) const {
    return plan_.query_rows[static_cast<std::size_t>(query)] * (d_ / 2);
  }

  // Calls body(block, head) for all blocks of queries and all query heads of a key/value head.
  template <typename Body>
  void for_blocks(std::int64_t stream, std::int64_t kv_head, const Body& body) const {
    const std::int64_t group = shape_.heads / shape_.kv_heads;
    const auto s = static_cast<std::size_t>(stream);
    for (std::int64_t query = plan_.query_offsets[s]; query < plan_.query_offsets[s + 1];) {
      const Block block = block_at(plan_, places_, stream, query, kPanel<T>);
      query += block.count;
      if (block.range_count == 0) continue;
      for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) body(block, head);
    }
  }

  // Scores of a block's queries over all it may see.
  void score(const Block& block, std::int64_t head) {
    for (std::int64_t i = 0; i < block.count; ++i) {
      const std::int64_t at = turn_of(block.first + i);
      rotate_row(in_.q + (block.first + i) * in_.q_stride + head * d_, cosine_ + at, sine_ + at, d_ / 2, scale_,
                 scratch_.q.data() + i * d_);
    }
    for (std::int64_t r = 0; r < block.range_count; ++r) {
      const Range& range = block.ranges[static_cast<std::size_t>(r)];
      small_product(LeftFactor<T>{scratch_.q.data(), d_, 1}, packed(scratch_.packed_keys, range),
                    Rows<T>{scratch_.scores.data() + range.score, block.width}, block.count, range.width, d_, T(1));
    }
  }

  void add_gradients(const Block& block, std::int64_t r, const T* dy, std::int64_t dy_row) {
    const Range& range = block.ranges[static_cast<std::size_t>(r)];
    const T* p = scratch_.scores.data() + range.score;
    const T* ds = scratch_.score_gradients.data() + range.score;
    const std::int64_t at = range.place.first_row * d_;
    small_product_add(LeftFactor<T>{ds, block.width, 1}, RightFactor<T>{scratch_.keys.data() + at, d_, kPanel<T>},
                      Rows<T>{scratch_.q_gradient.data(), d_}, block.count, d_, range.place.rows, T(1));
    small_product_add(LeftFactor<T>{ds, 1, block.width}, RightFactor<T>{scratch_.q.data(), d_, kPanel<T>},
                      Rows<T>{scratch_.key_gradients.data() + at, d_}, range.place.rows, d_, block.count, T(1));
    small_product_add(LeftFactor<T>{p, 1, block.width}, RightFactor<T>{dy, dy_row, kPanel<T>},
                      Rows<T>{scratch_.value_gradients.data() + at, d_}, range.place.rows, d_, block.count, T(1));
  }

  const AttentionInputs<T>& in_;
  const AttentionPlan& plan_;
  const HeadShape& shape_;
  const Places& places_;
  Scratch<T>& scratch_;
  const T* cosine_;
  const T* sine_;
  std::int64_t d_;
  T scale_;
  std::int64_t first_ = 0;  // row of the stream
  const T* values_ = nullptr;
};

// Calls run(task, stream, kv_head) for all of them, each thread with scratch of its own.
template <typename T, typename Run>
void for_tasks(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape, bool backward,
               const Run& run) {
  const Places places(plan, kPanel<T>);
  const std::int64_t d = shape.head_dim;
  at::parallel_for(0, plan.layout.streams() * shape.kv_heads, 1, [&](std::int64_t begin, std::int64_t end) {
    const auto sized = [](std::int64_t count) { return std::vector<T>(static_cast<std::size_t>(count)); };
    Scratch<T> scratch;
    scratch.keys = sized(places.rows * d);
    scratch.packed_keys = sized(places.columns * d);
    scratch.q = sized(kBlock * d);
    scratch.scores = sized(kBlock * places.seen);
    if (backward) {
      scratch.packed_values = sized(places.columns * d);
      scratch.key_gradients = sized(places.rows * d);
      scratch.value_gradients = sized(places.rows * d);
      scratch.q_gradient = sized(kBlock * d);
      scratch.score_gradients = sized(kBlock * places.seen);
    }
    Task<T> task(in, plan, shape, places, scratch);
    for (std::int64_t i = begin; i < end; ++i) run(task, i / shape.kv_heads, i % shape.kv_heads);
  });
}

template <typename T>
void forward(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape, T* out, T* log_sum) {
  for_tasks<T>(in, plan, shape, false, [&](Task<T>& task, std::int64_t stream, std::int64_t head) {
    task.forward(stream, head, out, log_sum);
  });
}

template <typename T>
void backward(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape, const T* out,
              const T* log_sum, const T* gradient, const AttentionGradients<T>& result) {
  for_tasks<T>(in, plan, shape, true, [&](Task<T>& task, std::int64_t stream, std::int64_t head) {
    task.backward(stream, head, out, log_sum, gradient, result);
  });
}

}  // namespace

void attention_forward_cpu(const AttentionInputs<float>& in, const AttentionPlan& plan, const HeadShape& shape,
                           float* out, float* log_sum) {
  forward(in, plan, shape, out, log_sum);
}

void attention_forward_cpu(const AttentionInputs<double>& in, const AttentionPlan& plan, const HeadShape& shape,
                           double* out, double* log_sum) {
  forward(in, plan, shape, out, log_sum);
}

void attention_backward_cpu(const AttentionInputs<float>& in, const AttentionPlan& plan, const HeadShape& shape,
                            const float* out, const float* log_sum, const float* gradient,
                            const AttentionGradients<float>& result) {
  backward(in, plan, shape, out, log_sum, gradient, result);
}

void attention_backward_cpu(const AttentionInputs<double>& in, const AttentionPlan& plan, const HeadShape& shape,
                            const double* out, const double* log_sum, const double* gradient,
                            const AttentionGradients<double>& result) {
  backward(in, plan, shape, out, log_sum, gradient, result);
}

}  // namespace chorale
