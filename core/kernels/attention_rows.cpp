#include "core/kernels/attention_rows.hpp"

#include <array>
#include <limits>

#include "core/kernels/simd.hpp"
#include "core/kernels/small_product.hpp"

namespace chorale {
namespace {

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

// Panel by panel in whole vectors, what a query may not see masked: a loop over the visible alone would do most of a
// short row one by one.
template <typename T>
using Panel = std::array<T, static_cast<std::size_t>(kPanel<T>)>;

// In pairs: a chain through all lanes would wait for each of them.
template <typename T, typename Combine>
CHORALE_INLINE T fold(Panel<T>& lanes, const Combine& combine) {
  for (std::size_t half = lanes.size() / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lanes[l] = combine(lanes[l], lanes[l + half]);
  }
  return lanes[0];
}

// The largest visible score.
template <typename T>
CHORALE_INLINE T largest(const T* score, std::int64_t visible, std::int64_t width, T so_far) {
  Panel<T> lanes;
  lanes.fill(so_far);
  for (std::int64_t j = 0; j < width; j += kPanel<T>) {
    const auto left = static_cast<int>(visible - j);
#pragma omp simd
    for (int l = 0; l < static_cast<int>(kPanel<T>); ++l) {
      T& lane = lanes[static_cast<std::size_t>(l)];
      const T value = l < left ? score[j + l] : T(-1e30);
      lane = value > lane ? value : lane;
    }
  }
  return fold(lanes, [](T a, T b) { return a > b ? a : b; });
}

// Exponentials of a row's scores less `shift`, zeros behind the visible ones; returns the sum.
template <typename T>
CHORALE_INLINE T exponentials(T* score, std::int64_t visible, std::int64_t width, T shift) {
  Panel<T> lanes = {};
  for (std::int64_t j = 0; j < width; j += kPanel<T>) {
    const auto left = static_cast<int>(visible - j);
#pragma omp simd
    for (int l = 0; l < static_cast<int>(kPanel<T>); ++l) {
      const T value = simd::exponential((l < left ? score[j + l] : shift) - shift);
      score[j + l] = l < left ? value : T(0);
      lanes[static_cast<std::size_t>(l)] += score[j + l];
    }
  }
  return fold(lanes, [](T a, T b) { return a + b; });
}

// Turns scores into exp(score - maximum) and returns maximum and sum.
template <typename T>
CHORALE_INLINE void softmax_row(T* scores, const QueryBlock& block, std::int64_t query, T& maximum, T& sum) {
  maximum = -std::numeric_limits<T>::infinity();
  for (std::int64_t r = 0; r < block.range_count; ++r) {
    const KeyRange& range = block.ranges[static_cast<std::size_t>(r)];
    maximum = largest(scores + range.score, block.visible(r, query), range.width, maximum);
  }
  sum = 0;
  for (std::int64_t r = 0; r < block.range_count; ++r) {
    const KeyRange& range = block.ranges[static_cast<std::size_t>(r)];
    sum += exponentials(scores + range.score, block.visible(r, query), range.width, maximum);
  }
}

// P from scores and the logarithm of their sum, and dS = P * (dP - delta) into dP.
template <typename T>
CHORALE_INLINE void softmax_row_backward(T* scores, T* gradient, const QueryBlock& block, std::int64_t query,
                                         T log_total, T delta) {
  for (std::int64_t r = 0; r < block.range_count; ++r) {
    const KeyRange& range = block.ranges[static_cast<std::size_t>(r)];
    T* p = scores + range.score;
    T* d = gradient + range.score;
    exponentials(p, block.visible(r, query), range.width, log_total);
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

}  // namespace

CHORALE_SIMD void rotate_rows(Rows<const float> x, const Turns<float>& turns, std::int64_t count, float scale,
                              Rows<float> y) {
  for (std::int64_t i = 0; i < count; ++i) {
    rotate(x.row(i), turns.cosine_of(i), turns.sine_of(i), turns.half, scale, y.row(i));
  }
}
CHORALE_SIMD void rotate_rows(Rows<const double> x, const Turns<double>& turns, std::int64_t count, double scale,
                              Rows<double> y) {
  for (std::int64_t i = 0; i < count; ++i) {
    rotate(x.row(i), turns.cosine_of(i), turns.sine_of(i), turns.half, scale, y.row(i));
  }
}
CHORALE_SIMD void rotate_rows_back(Rows<const float> x, const Turns<float>& turns, std::int64_t count, float scale,
                                   Rows<float> y) {
  for (std::int64_t i = 0; i < count; ++i) {
    rotate_back(x.row(i), turns.cosine_of(i), turns.sine_of(i), turns.half, scale, y.row(i));
  }
}
CHORALE_SIMD void rotate_rows_back(Rows<const double> x, const Turns<double>& turns, std::int64_t count, double scale,
                                   Rows<double> y) {
  for (std::int64_t i = 0; i < count; ++i) {
    rotate_back(x.row(i), turns.cosine_of(i), turns.sine_of(i), turns.half, scale, y.row(i));
  }
}
CHORALE_SIMD void softmax_rows(float* scores, const QueryBlock& block, std::int64_t stride, float* maximum,
                               float* sum) {
  for (std::int64_t i = 0; i < block.count; ++i) softmax_row(scores + i * stride, block, i, maximum[i], sum[i]);
}
CHORALE_SIMD void softmax_rows(double* scores, const QueryBlock& block, std::int64_t stride, double* maximum,
                               double* sum) {
  for (std::int64_t i = 0; i < block.count; ++i) softmax_row(scores + i * stride, block, i, maximum[i], sum[i]);
}
CHORALE_SIMD void divide_rows(Rows<float> x, std::int64_t count, std::int64_t n, const float* by) {
  for (std::int64_t i = 0; i < count; ++i) divide(x.row(i), n, by[i]);
}
CHORALE_SIMD void divide_rows(Rows<double> x, std::int64_t count, std::int64_t n, const double* by) {
  for (std::int64_t i = 0; i < count; ++i) divide(x.row(i), n, by[i]);
}
CHORALE_SIMD void softmax_rows_backward(float* scores, float* gradient, const QueryBlock& block, std::int64_t stride,
                                        const float* log_sum, std::int64_t heads, const float* out, const float* dy,
                                        std::int64_t row, std::int64_t d) {
  for (std::int64_t i = 0; i < block.count; ++i) {
    softmax_row_backward(scores + i * stride, gradient + i * stride, block, i, log_sum[i * heads],
                         dot(out + i * row, dy + i * row, d));
  }
}
CHORALE_SIMD void softmax_rows_backward(double* scores, double* gradient, const QueryBlock& block, std::int64_t stride,
                                        const double* log_sum, std::int64_t heads, const double* out, const double* dy,
                                        std::int64_t row, std::int64_t d) {
  for (std::int64_t i = 0; i < block.count; ++i) {
    softmax_row_backward(scores + i * stride, gradient + i * stride, block, i, log_sum[i * heads],
                         dot(out + i * row, dy + i * row, d));
  }
}

}  // namespace chorale
