// Products with one small dimension: what low-rank adapters add to a frozen product.
#pragma once

#include <cstdint>

namespace chorale {

/// A row-major matrix somewhere in memory; `stride` counts elements between rows.
template <typename T>
struct Rows {
  T* data = nullptr;
  std::int64_t stride = 0;

  [[nodiscard]] T* row(std::int64_t i) const { return data + i * stride; }
};

// A matrix library spends most of its time on such shapes packing what is then used once; these read everything where
// it lies. X and Y are [rows, width], M and G [rank, width], U [rank-sized columns, rows]. Single-threaded: callers
// share rows (first two) or columns (third) out. float and double.

/// U = scale * X M^T.
void low_rank_down(Rows<const float> x, Rows<const float> m, Rows<float> u, std::int64_t rows, std::int64_t width,
                   std::int64_t rank, float scale);
void low_rank_down(Rows<const double> x, Rows<const double> m, Rows<double> u, std::int64_t rows, std::int64_t width,
                   std::int64_t rank, double scale);

/// Y += scale * U M.
void low_rank_up(Rows<const float> u, Rows<const float> m, Rows<float> y, std::int64_t rows, std::int64_t width,
                 std::int64_t rank, float scale);
void low_rank_up(Rows<const double> u, Rows<const double> m, Rows<double> y, std::int64_t rows, std::int64_t width,
                 std::int64_t rank, double scale);

/// G = scale * U^T X.
void low_rank_outer(Rows<const float> u, Rows<const float> x, Rows<float> g, std::int64_t rows, std::int64_t width,
                    std::int64_t rank, float scale);
void low_rank_outer(Rows<const double> u, Rows<const double> x, Rows<double> g, std::int64_t rows, std::int64_t width,
                    std::int64_t rank, double scale);

}  // namespace chorale
