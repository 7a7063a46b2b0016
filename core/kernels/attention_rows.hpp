// What attention does to single rows: rotations and soft-maxes. float and double.
#pragma once

#include <cstdint>

#include "core/kernels/attention_blocks.hpp"

namespace chorale {

/// y = scale * x turned by its position: pairs (i, i + half), arXiv 2104.09864.
void rotate_row(const float* x, const float* cosine, const float* sine, std::int64_t half, float scale, float* y);
void rotate_row(const double* x, const double* cosine, const double* sine, std::int64_t half, double scale, double* y);
/// The transpose: y = scale * x turned back.
void rotate_row_back(const float* x, const float* cosine, const float* sine, std::int64_t half, float scale, float* y);
void rotate_row_back(const double* x, const double* cosine, const double* sine, std::int64_t half, double scale,
                     double* y);

/// x /= by.
void divide_row(float* x, std::int64_t n, float by);
void divide_row(double* x, std::int64_t n, double by);

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
