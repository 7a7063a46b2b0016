// The rank is taken in blocks of eight: eight sums or factors fit the registers, and what is read from memory once is
// used eight times.
#include "core/kernels/low_rank.hpp"

#include <algorithm>

#include "core/kernels/simd.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kBlock = 8;
constexpr std::int64_t kTile = 256;  // columns: eight rows of M or G of this width stay in the first-level cache

template <typename T>
CHORALE_INLINE void down(Rows<const T> x, Rows<const T> m, Rows<T> u, std::int64_t rows, std::int64_t width,
                         std::int64_t rank, T scale) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* in = x.row(i);
    T* out = u.row(i);
    std::int64_t k = 0;
    for (; k + kBlock <= rank; k += kBlock) {
      const T *m0 = m.row(k), *m1 = m.row(k + 1), *m2 = m.row(k + 2), *m3 = m.row(k + 3), *m4 = m.row(k + 4),
              *m5 = m.row(k + 5), *m6 = m.row(k + 6), *m7 = m.row(k + 7);
      T s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3, s4, s5, s6, s7)
      for (std::int64_t j = 0; j < width; ++j) {
        const T value = in[j];
        s0 += value * m0[j];
        s1 += value * m1[j];
        s2 += value * m2[j];
        s3 += value * m3[j];
        s4 += value * m4[j];
        s5 += value * m5[j];
        s6 += value * m6[j];
        s7 += value * m7[j];
      }
      out[k] = scale * s0;
      out[k + 1] = scale * s1;
      out[k + 2] = scale * s2;
      out[k + 3] = scale * s3;
      out[k + 4] = scale * s4;
      out[k + 5] = scale * s5;
      out[k + 6] = scale * s6;
      out[k + 7] = scale * s7;
    }
    for (; k < rank; ++k) {
      const T* factor = m.row(k);
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t j = 0; j < width; ++j) sum += in[j] * factor[j];
      out[k] = scale * sum;
    }
  }
}

template <typename T>
CHORALE_INLINE void up(Rows<const T> u, Rows<const T> m, Rows<T> y, std::int64_t rows, std::int64_t width,
                       std::int64_t rank, T scale) {
  for (std::int64_t tile = 0; tile < width; tile += kTile) {
    const std::int64_t count = std::min(kTile, width - tile);
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* factors = u.row(i);
      T* out = y.row(i) + tile;
      std::int64_t k = 0;
      for (; k + kBlock <= rank; k += kBlock) {
        const T *m0 = m.row(k) + tile, *m1 = m.row(k + 1) + tile, *m2 = m.row(k + 2) + tile, *m3 = m.row(k + 3) + tile,
                *m4 = m.row(k + 4) + tile, *m5 = m.row(k + 5) + tile, *m6 = m.row(k + 6) + tile,
                *m7 = m.row(k + 7) + tile;
        const T u0 = scale * factors[k], u1 = scale * factors[k + 1], u2 = scale * factors[k + 2],
                u3 = scale * factors[k + 3], u4 = scale * factors[k + 4], u5 = scale * factors[k + 5],
                u6 = scale * factors[k + 6], u7 = scale * factors[k + 7];
#pragma omp simd
        for (std::int64_t j = 0; j < count; ++j) {
          out[j] += ((u0 * m0[j] + u1 * m1[j]) + (u2 * m2[j] + u3 * m3[j])) +
                    ((u4 * m4[j] + u5 * m5[j]) + (u6 * m6[j] + u7 * m7[j]));
        }
      }
      for (; k < rank; ++k) {
        const T* factor = m.row(k) + tile;
        const T weight = scale * factors[k];
#pragma omp simd
        for (std::int64_t j = 0; j < count; ++j) out[j] += weight * factor[j];
      }
    }
  }
}

// Four rows of X at a time, so that a sum in G is loaded and stored once for four products.
template <typename T>
CHORALE_INLINE void outer(Rows<const T> u, Rows<const T> x, Rows<T> g, std::int64_t rows, std::int64_t width,
                          std::int64_t rank, T scale) {
  for (std::int64_t tile = 0; tile < width; tile += kTile) {
    const std::int64_t count = std::min(kTile, width - tile);
    for (std::int64_t k = 0; k < rank; ++k) {
      T* out = g.row(k) + tile;
      for (std::int64_t j = 0; j < count; ++j) out[j] = 0;
    }
    std::int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
      const T *x0 = x.row(i) + tile, *x1 = x.row(i + 1) + tile, *x2 = x.row(i + 2) + tile, *x3 = x.row(i + 3) + tile;
      for (std::int64_t k = 0; k < rank; ++k) {
        const T u0 = scale * u.row(i)[k], u1 = scale * u.row(i + 1)[k], u2 = scale * u.row(i + 2)[k],
                u3 = scale * u.row(i + 3)[k];
        T* out = g.row(k) + tile;
#pragma omp simd
        for (std::int64_t j = 0; j < count; ++j) {
          out[j] += (u0 * x0[j] + u1 * x1[j]) + (u2 * x2[j] + u3 * x3[j]);
        }
      }
    }
    for (; i < rows; ++i) {
      const T* in = x.row(i) + tile;
      for (std::int64_t k = 0; k < rank; ++k) {
        const T weight = scale * u.row(i)[k];
        T* out = g.row(k) + tile;
#pragma omp simd
        for (std::int64_t j = 0; j < count; ++j) out[j] += weight * in[j];
      }
    }
  }
}

}  // namespace

CHORALE_SIMD void low_rank_down(Rows<const float> x, Rows<const float> m, Rows<float> u, std::int64_t rows,
                                std::int64_t width, std::int64_t rank, float scale) {
  down(x, m, u, rows, width, rank, scale);
}
CHORALE_SIMD void low_rank_down(Rows<const double> x, Rows<const double> m, Rows<double> u, std::int64_t rows,
                                std::int64_t width, std::int64_t rank, double scale) {
  down(x, m, u, rows, width, rank, scale);
}
CHORALE_SIMD void low_rank_up(Rows<const float> u, Rows<const float> m, Rows<float> y, std::int64_t rows,
                              std::int64_t width, std::int64_t rank, float scale) {
  up(u, m, y, rows, width, rank, scale);
}
CHORALE_SIMD void low_rank_up(Rows<const double> u, Rows<const double> m, Rows<double> y, std::int64_t rows,
                              std::int64_t width, std::int64_t rank, double scale) {
  up(u, m, y, rows, width, rank, scale);
}
CHORALE_SIMD void low_rank_outer(Rows<const float> u, Rows<const float> x, Rows<float> g, std::int64_t rows,
                                 std::int64_t width, std::int64_t rank, float scale) {
  outer(u, x, g, rows, width, rank, scale);
}
CHORALE_SIMD void low_rank_outer(Rows<const double> u, Rows<const double> x, Rows<double> g, std::int64_t rows,
                                 std::int64_t width, std::int64_t rank, double scale) {
  outer(u, x, g, rows, width, rank, scale);
}

}  // namespace chorale
