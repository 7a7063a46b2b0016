// What attention does to single rows: rotations and soft-maxes. float and double.
#pragma once

#include <cstdint>

#include "core/kernels/attention_blocks.hpp"
#include "core/kernels/small_product.hpp"

namespace chorale {

/// Where the angles of consecutive rows stand: those of row `rows[i]`, or of i itself where `rows` is null.
template <typename T>
struct Turns {
  const T* cosine = nullptr;  // [rows, half]
  const T* sine = nullptr;
  const std::int64_t* rows = nullptr;
  std::int64_t half = 0;

  [[nodiscard]] const T* cosine_of(std::int64_t i) const { return cosine + (rows == nullptr ? i : rows[i]) * half; }
  [[nodiscard]] const T* sine_of(std::int64_t i) const { return sine + (rows == nullptr ? i : rows[i]) * half; }
};

/// y = scale * x, every row turned by its position: pairs (i, i + half), arXiv 2104.09864.
void rotate_rows(Rows<const float> x, const Turns<float>& turns, std::int64_t count, float scale, Rows<float> y);
void rotate_rows(Rows<const double> x, const Turns<double>& turns, std::int64_t count, double scale, Rows<double> y);
/// The transpose: y = scale * x turned back.
void rotate_rows_back(Rows<const float> x, const Turns<float>& turns, std::int64_t count, float scale, Rows<float> y);
void rotate_rows_back(Rows<const double> x, const Turns<double>& turns, std::int64_t count, double scale,
                      Rows<double> y);

/// Rows of n values, each divided by its number.
void divide_rows(Rows<float> x, std::int64_t count, std::int64_t n, const float* by);
void divide_rows(Rows<double> x, std::int64_t count, std::int64_t n, const double* by);

/// Turns the scores of a block's queries, `stride` elements from one to the next, into exp(score - maximum), zero where
/// a query may not look, and gives each row's maximum and sum.
void softmax_rows(float* scores, const QueryBlock& block, std::int64_t stride, float* maximum, float* sum);
void softmax_rows(double* scores, const QueryBlock& block, std::int64_t stride, double* maximum, double* sum);

/// Turns scores into probabilities P (log_sum: logarithm of each row's sum of exponentials, `heads` elements apart) and
/// the gradient of P into that of the scores, P * (dP - out . dy). out, dy: `row` elements from one query to the next,
/// d values each.
void softmax_rows_backward(float* scores, float* gradient, const QueryBlock& block, std::int64_t stride,
                           const float* log_sum, std::int64_t heads, const float* out, const float* dy,
                           std::int64_t row, std::int64_t d);
void softmax_rows_backward(double* scores, double* gradient, const QueryBlock& block, std::int64_t stride,
                           const double* log_sum, std::int64_t heads, const double* out, const double* dy,
                           std::int64_t row, std::int64_t d);

}  // namespace chorale
