// One task per (tree of spans, key/value head): it alone writes that head's key and value gradients, so no task waits
// for another and the order of every sum is fixed. Inside a task, blocks of queries of one span meet the spans they may
// see as small matrix products; a causal block's last columns are computed for nothing and set to zero.
#include "core/kernels/attention_cpu.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/kernels/attention_blocks.hpp"
#include "core/kernels/attention_rows.hpp"
#include "core/kernels/small_product.hpp"

namespace chorale {
namespace {

// What a thread works in; sized once for all its tasks.
template <typename T>
struct Scratch {
  std::vector<T> keys;                     // [rows, d] rotated
  std::vector<T> packed_keys;              // [columns / panel][d][panel]
  std::vector<T> packed_values;            // likewise; backward only
  std::vector<T> key_gradients;            // [rows, d]; backward only
  std::vector<T> value_gradients;          // [rows, d]; backward only
  std::vector<T> q, q_gradient;            // [kQueryBlock, d]
  std::vector<T> scores, score_gradients;  // [kQueryBlock, columns]
};

template <typename T>
class Task {
 public:
  Task(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape, const SpanTrees& trees,
       Scratch<T>& scratch)
      : in_(in),
        plan_(plan),
        shape_(shape),
        trees_(trees),
        scratch_(scratch),
        cosine_(plan.cosine.const_data_ptr<T>()),
        sine_(plan.sine.const_data_ptr<T>()),
        d_(shape.head_dim),
        scale_(T(1) / std::sqrt(static_cast<T>(shape.head_dim))) {}

  void forward(const SpanTree& tree, std::int64_t kv_head, T* out, T* log_sum) {
    start(tree, kv_head);
    const std::int64_t row = shape_.heads * d_;
    for_blocks(tree, kv_head, [&](const QueryBlock& block, std::int64_t head) {
      score(block, head);
      std::array<T, kQueryBlock> maximum;
      std::array<T, kQueryBlock> sum;
      softmax_rows(scratch_.scores.data(), block, block.width, maximum.data(), sum.data());
      T* result = out + (block.first * shape_.heads + head) * d_;
      for (std::int64_t r = 0; r < block.range_count; ++r) {
        const KeyRange& range = block.ranges[static_cast<std::size_t>(r)];
        const T* values = values_ + range.place.first_row * in_.kv_stride;
        small_product(LeftFactor<T>{scratch_.scores.data() + range.score, block.width, 1},
                      RightFactor<T>{values, in_.kv_stride, kPanel<T>}, Rows<T>{result, row}, block.count, d_,
                      range.place.rows, T(1), /*add=*/r > 0);
      }
      divide_rows(Rows<T>{result, row}, block.count, d_, sum.data());
      for (std::int64_t i = 0; i < block.count; ++i) {
        const auto index = static_cast<std::size_t>(i);
        log_sum[(block.first + i) * shape_.heads + head] = maximum[index] + std::log(sum[index]);
      }
    });
  }

  // With P the softmax and D = sum(dO * O) per row: dV = P^T dO, dS = P * (dO V^T - D), dQ = dS K, dK = dS^T Q.
  void backward(const SpanTree& tree, std::int64_t kv_head, const T* out, const T* log_sum, const T* gradient,
                const AttentionGradients<T>& result) {
    start(tree, kv_head);
    pack(values_, in_.kv_stride, tree, scratch_.packed_values);
    const std::int64_t rows = tree.rows;
    std::fill_n(scratch_.key_gradients.begin(), rows * d_, T(0));
    std::fill_n(scratch_.value_gradients.begin(), rows * d_, T(0));
    const std::int64_t row = shape_.heads * d_;
    for_blocks(tree, kv_head, [&](const QueryBlock& block, std::int64_t head) {
      score(block, head);
      const std::int64_t cell = (block.first * shape_.heads + head) * d_;
      const T* dy = gradient + cell;
      for (std::int64_t r = 0; r < block.range_count; ++r) {
        const KeyRange& range = block.ranges[static_cast<std::size_t>(r)];
        small_product(LeftFactor<T>{dy, row, 1}, packed(scratch_.packed_values, range),
                      Rows<T>{scratch_.score_gradients.data() + range.score, block.width}, block.count, range.width, d_,
                      T(1));
      }
      softmax_rows_backward(scratch_.scores.data(), scratch_.score_gradients.data(), block, block.width,
                            log_sum + block.first * shape_.heads + head, shape_.heads, out + cell, dy, row, d_);
      for (std::int64_t r = 0; r < block.range_count; ++r) add_gradients(block, r, dy, row);
      rotate_rows_back(Rows<const T>{scratch_.q_gradient.data(), d_}, turns_of(block), block.count, scale_,
                       Rows<T>{result.q + block.first * in_.q_stride + head * d_, in_.q_stride});
    });
    rotate_rows_back(Rows<const T>{scratch_.key_gradients.data(), d_}, turns_of_tree(), rows, T(1),
                     Rows<T>{result.k + first_ * in_.kv_stride + kv_head * d_, in_.kv_stride});
    for (std::int64_t j = 0; j < rows; ++j) {
      std::copy_n(scratch_.value_gradients.begin() + j * d_, d_,
                  result.v + (first_ + j) * in_.kv_stride + kv_head * d_);
    }
  }

 private:
  // Rotates and packs the keys of one head.
  void start(const SpanTree& tree, std::int64_t kv_head) {
    first_ = tree.first_row;
    values_ = in_.v + first_ * in_.kv_stride + kv_head * d_;
    rotate_rows(Rows<const T>{in_.k + first_ * in_.kv_stride + kv_head * d_, in_.kv_stride}, turns_of_tree(), tree.rows,
                T(1), Rows<T>{scratch_.keys.data(), d_});
    pack(scratch_.keys.data(), d_, tree, scratch_.packed_keys);
  }

  // Rows of every span, transposed, in panels; the last panel of a span is filled up with zeros.
  void pack(const T* rows, std::int64_t stride, const SpanTree& tree, std::vector<T>& panels) const {
    for (std::int64_t i = tree.first_span; i < tree.end_span; ++i) {
      const SpanPlace& place = trees_.places[static_cast<std::size_t>(i)];
      for (std::int64_t begin = 0; begin < place.rows; begin += kPanel<T>) {
        const std::int64_t count = std::min(kPanel<T>, place.rows - begin);
        T* out = panels.data() + (place.column + begin) * d_;
        if (count < kPanel<T>) std::fill_n(out, kPanel<T> * d_, T(0));
        transpose_rows(Rows<const T>{rows + (place.first_row + begin) * stride, stride}, Rows<T>{out, kPanel<T>}, count,
                       d_);
      }
    }
  }

  [[nodiscard]] RightFactor<T> packed(const std::vector<T>& panels, const KeyRange& range) const {
    return {panels.data() + range.place.column * d_, kPanel<T>, kPanel<T> * d_};
  }

  [[nodiscard]] Turns<T> turns_of(const QueryBlock& block) const {
    return {cosine_, sine_, plan_.query_rows.data() + block.first, d_ / 2};
  }
  [[nodiscard]] Turns<T> turns_of_tree() const {
    return {cosine_ + first_ * (d_ / 2), sine_ + first_ * (d_ / 2), nullptr, d_ / 2};
  }

  // Calls body(block, head) for all blocks of queries and all query heads of a key/value head.
  template <typename Body>
  void for_blocks(const SpanTree& tree, std::int64_t kv_head, const Body& body) const {
    const std::int64_t group = shape_.heads / shape_.kv_heads;
    for (std::int64_t query = tree.first_query; query < tree.end_query;) {
      const QueryBlock block = trees_.block_at(plan_, tree, query);
      query += block.count;
      if (block.range_count == 0) continue;
      for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) body(block, head);
    }
  }

  // Scores of a block's queries over all it may see.
  void score(const QueryBlock& block, std::int64_t head) {
    rotate_rows(Rows<const T>{in_.q + block.first * in_.q_stride + head * d_, in_.q_stride}, turns_of(block),
                block.count, scale_, Rows<T>{scratch_.q.data(), d_});
    for (std::int64_t r = 0; r < block.range_count; ++r) {
      const KeyRange& range = block.ranges[static_cast<std::size_t>(r)];
      small_product(LeftFactor<T>{scratch_.q.data(), d_, 1}, packed(scratch_.packed_keys, range),
                    Rows<T>{scratch_.scores.data() + range.score, block.width}, block.count, range.width, d_, T(1));
    }
  }

  void add_gradients(const QueryBlock& block, std::int64_t r, const T* dy, std::int64_t dy_row) {
    const KeyRange& range = block.ranges[static_cast<std::size_t>(r)];
    const T* p = scratch_.scores.data() + range.score;
    const T* ds = scratch_.score_gradients.data() + range.score;
    const std::int64_t at = range.place.first_row * d_;
    small_product(LeftFactor<T>{ds, block.width, 1}, RightFactor<T>{scratch_.keys.data() + at, d_, kPanel<T>},
                  Rows<T>{scratch_.q_gradient.data(), d_}, block.count, d_, range.place.rows, T(1), /*add=*/r > 0);
    small_product_add(LeftFactor<T>{ds, 1, block.width}, RightFactor<T>{scratch_.q.data(), d_, kPanel<T>},
                      Rows<T>{scratch_.key_gradients.data() + at, d_}, range.place.rows, d_, block.count, T(1));
    small_product_add(LeftFactor<T>{p, 1, block.width}, RightFactor<T>{dy, dy_row, kPanel<T>},
                      Rows<T>{scratch_.value_gradients.data() + at, d_}, range.place.rows, d_, block.count, T(1));
  }

  const AttentionInputs<T>& in_;
  const AttentionPlan& plan_;
  const HeadShape& shape_;
  const SpanTrees& trees_;
  Scratch<T>& scratch_;
  const T* cosine_;
  const T* sine_;
  std::int64_t d_;
  T scale_;
  std::int64_t first_ = 0;  // row of the tree
  const T* values_ = nullptr;
};

// Brings a short tree's rows into the second-level cache. Every head reads its own few values of each row, steps that
// the processor does not foresee. out: what attention gave, in the backward pass.
template <typename T>
void fetch(const AttentionInputs<T>& in, const T* out, const SpanTree& tree, const HeadShape& shape) {
  constexpr std::int64_t kMost = 256 * 1024;
  const auto lines = [](const T* from, std::int64_t count) {
    for (std::int64_t i = 0; i < count; i += kPanel<T>) __builtin_prefetch(from + i, 0, 2);
  };
  const std::int64_t queries = shape.heads * shape.head_dim;
  const std::int64_t keys = shape.kv_heads * shape.head_dim;
  if (tree.rows * (queries + 2 * keys) * static_cast<std::int64_t>(sizeof(T)) > kMost) return;
  for (std::int64_t row = tree.first_query; row < tree.end_query; ++row) lines(in.q + row * in.q_stride, queries);
  if (out != nullptr) lines(out + tree.first_query * queries, (tree.end_query - tree.first_query) * queries);
  for (std::int64_t row = tree.first_row; row < tree.first_row + tree.rows; ++row) {
    lines(in.k + row * in.kv_stride, 2 * keys);
  }
}

// Calls run(task, tree, kv_head) for all of them, each thread with scratch of its own. A tree's heads follow each
// other: they lie in the same rows. out: what attention gave, for the backward pass.
template <typename T, typename Run>
void for_tasks(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape, const T* out,
               const Run& run) {
  const bool backward = out != nullptr;
  const SpanTrees trees(plan, kPanel<T>);
  const std::int64_t d = shape.head_dim;
  at::parallel_for(
      0, static_cast<std::int64_t>(trees.trees.size()) * shape.kv_heads, 1, [&](std::int64_t begin, std::int64_t end) {
        const auto sized = [](std::int64_t count) { return std::vector<T>(static_cast<std::size_t>(count)); };
        Scratch<T> scratch;
        scratch.keys = sized(trees.rows * d);
        scratch.packed_keys = sized(trees.columns * d);
        scratch.q = sized(kQueryBlock * d);
        scratch.scores = sized(kQueryBlock * trees.seen);
        if (backward) {
          scratch.packed_values = sized(trees.columns * d);
          scratch.key_gradients = sized(trees.rows * d);
          scratch.value_gradients = sized(trees.rows * d);
          scratch.q_gradient = sized(kQueryBlock * d);
          scratch.score_gradients = sized(kQueryBlock * trees.seen);
        }
        Task<T> task(in, plan, shape, trees, scratch);
        for (std::int64_t i = begin; i < end; ++i) {
          const SpanTree& tree = trees.trees[static_cast<std::size_t>(i / shape.kv_heads)];
          if (i == begin || i % shape.kv_heads == 0) fetch(in, out, tree, shape);
          run(task, tree, i % shape.kv_heads);
        }
      });
}

template <typename T>
void forward(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape, T* out, T* log_sum) {
  for_tasks<T>(in, plan, shape, nullptr,
               [&](Task<T>& task, const SpanTree& tree, std::int64_t head) { task.forward(tree, head, out, log_sum); });
}

template <typename T>
void backward(const AttentionInputs<T>& in, const AttentionPlan& plan, const HeadShape& shape, const T* out,
              const T* log_sum, const T* gradient, const AttentionGradients<T>& result) {
  for_tasks<T>(in, plan, shape, out, [&](Task<T>& task, const SpanTree& tree, std::int64_t head) {
    task.backward(tree, head, out, log_sum, gradient, result);
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
