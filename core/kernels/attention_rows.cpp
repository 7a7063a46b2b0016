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

// Rows are whole panels wide and are worked on in whole panels: what may not be seen is hidden first and erased
// afterwards, because a loop over the visible alone would do most of a short row one by one.
template <typename T>
CHORALE_INLINE void hide(T* score, std::int64_t visible, std::int64_t width) {
  for (std::int64_t j = visible; j < width; ++j) score[j] = T(-1e30);
}

template <typename T>
CHORALE_INLINE T largest(const T* score, std::int64_t width, T so_far) {
  std::array<T, kPanel<T>> lanes;
  lanes.fill(so_far);
  for (std::int64_t j = 0; j < width; j += kPanel<T>) {
#pragma omp simd
    for (std::int64_t l = 0; l < kPanel<T>; ++l) {
      T& lane = lanes[static_cast<std::size_t>(l)];
      lane = score[j + l] > lane ? score[j + l] : lane;
    }
  }
  for (const T lane : lanes) so_far = lane > so_far ? lane : so_far;
  return so_far;
}

// Exponentials of a row's scores less `shift`, zeros behind the visible ones; returns the sum.
template <typename T>
CHORALE_INLINE T exponentials(T* score, std::int64_t visible, std::int64_t width, T shift) {
  std::array<T, kPanel<T>> lanes = {};
  for (std::int64_t j = 0; j < width; j += kPanel<T>) {
#pragma omp simd
    for (std::int64_t l = 0; l < kPanel<T>; ++l) {
      score[j + l] = simd::exponential(score[j + l] - shift);
      lanes[static_cast<std::size_t>(l)] += score[j + l];
    }
  }
  for (std::int64_t j = visible; j < width; ++j) score[j] = 0;
  T sum = 0;
  for (const T lane : lanes) sum += lane;
  return sum;
}

// Turns scores into exp(score - maximum) and returns maximum and sum.
template <typename T>
CHORALE_INLINE void softmax_row(T* scores, const QueryBlock& block, std::int64_t query, T& maximum, T& sum) {
  maximum = -std::numeric_limits<T>::infinity();
  for (std::int64_t r = 0; r < block.range_count; ++r) {
    const KeyRange& range = block.ranges[static_cast<std::size_t>(r)];
    hide(scores + range.score, block.visible(r, query), range.width);
    maximum = largest(scores + range.score, range.width, maximum);
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
    hide(p, block.visible(r, query), range.width);
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
CHORALE_SIMD void softmax_rows(float* scores, const QueryBlock& block, std::int64_t stride, float* maximum,
                               float* sum) {
  for (std::int64_t i = 0; i < block.count; ++i) softmax_row(scores + i * stride, block, i, maximum[i], sum[i]);
}
CHORALE_SIMD void softmax_rows(double* scores, const QueryBlock& block, std::int64_t stride, double* maximum,
                               double* sum) {
  for (std::int64_t i = 0; i < block.count; ++i) softmax_row(scores + i * stride, block, i, maximum[i], sum[i]);
}
CHORALE_SIMD void divide_row(float* x, std::int64_t n, float by) {
  divide(x, n, by);
}
CHORALE_SIMD void divide_row(double* x, std::int64_t n, double by) {
  divide(x, n, by);
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
