#include "core/kernels/small_product.hpp"

#include <algorithm>
#include <cstring>

#include "core/kernels/simd.hpp"

namespace chorale {
namespace {

// A vector of kLanes values: full, half or quarter registers of AVX-512.
template <typename T, unsigned kLanes>
struct Lanes {
  typedef T Vector __attribute__((vector_size(kLanes * sizeof(T))));  // NOLINT(modernize-use-using)
};

constexpr std::int64_t kAhead = 64;  // rows of B that are fetched before they are needed

// kRows x kVectors sums in registers over the whole depth.
template <unsigned kRows, unsigned kVectors, unsigned kLanes, bool kAccumulate, typename T>
CHORALE_INLINE void tile(const T* a, const LeftFactor<T>& left, const T* b, const RightFactor<T>& right, T* c,
                         std::int64_t c_row, std::int64_t depth, T scale) {
  using Vector = typename Lanes<T, kLanes>::Vector;
  Vector sum[kRows][kVectors] = {};  // NOLINT(modernize-avoid-c-arrays): registers, not memory
  const std::int64_t a_row = left.row;
  const std::int64_t a_step = left.step;
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector values[kVectors];  // NOLINT(modernize-avoid-c-arrays)
    // Three panels are read faster than the processor foresees, and steps from one long row to the next, which is how
    // adapters' gradients go through inputs that lie in the memory, it does not foresee.
    if constexpr (kVectors == 3) {
#pragma GCC unroll 4
      for (unsigned v = 0; v < kVectors; ++v) __builtin_prefetch(b + v * right.panel_step + kAhead * right.row);
    }
#pragma GCC unroll 4
    for (unsigned v = 0; v < kVectors; ++v) std::memcpy(&values[v], b + v * right.panel_step, sizeof(Vector));
#pragma GCC unroll 16
    for (unsigned i = 0; i < kRows; ++i) {
      const T factor = a[i * a_row];
#pragma GCC unroll 4
      for (unsigned v = 0; v < kVectors; ++v) sum[i][v] += factor * values[v];
    }
    a += a_step;
    b += right.row;
  }
#pragma GCC unroll 16
  for (unsigned i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (unsigned v = 0; v < kVectors; ++v) {
      T* out = c + i * c_row + v * kLanes;
      Vector result = scale * sum[i][v];
      if constexpr (kAccumulate) {
        Vector before;
        std::memcpy(&before, out, sizeof before);
        result += before;
      }
      std::memcpy(out, &result, sizeof result);
    }
  }
}

// All rows of kVectors vectors of columns; b and c point at the first of them.
template <unsigned kVectors, unsigned kLanes, bool kAccumulate, typename T>
CHORALE_INLINE void columns(const LeftFactor<T>& a, const T* b, const RightFactor<T>& right, T* c, std::int64_t c_row,
                            std::int64_t rows, std::int64_t depth, T scale) {
  constexpr unsigned kTall = kVectors == 1 ? 16 : 8;  // as many sums as the registers hold
  std::int64_t i = 0;
  for (; i + kTall <= rows; i += kTall) {
    tile<kTall, kVectors, kLanes, kAccumulate>(a.data + i * a.row, a, b, right, c + i * c_row, c_row, depth, scale);
  }
  for (; i + 4 <= rows; i += 4) {
    tile<4, kVectors, kLanes, kAccumulate>(a.data + i * a.row, a, b, right, c + i * c_row, c_row, depth, scale);
  }
  for (; i < rows; ++i) {
    tile<1, kVectors, kLanes, kAccumulate>(a.data + i * a.row, a, b, right, c + i * c_row, c_row, depth, scale);
  }
}

template <bool kAccumulate, typename T>
CHORALE_INLINE void product(const LeftFactor<T>& a, const RightFactor<T>& b, Rows<T> c, std::int64_t rows,
                            std::int64_t width, std::int64_t depth, T scale) {
  constexpr unsigned kLanes = kPanel<T>;
  const auto panel = [&](std::int64_t column) { return b.data + column / kLanes * b.panel_step + column % kLanes; };
  std::int64_t j = 0;
  for (; j + 3 * kLanes <= width; j += 3 * kLanes) {
    columns<3, kLanes, kAccumulate>(a, panel(j), b, c.data + j, c.stride, rows, depth, scale);
  }
  if (j + 2 * kLanes <= width) {
    columns<2, kLanes, kAccumulate>(a, panel(j), b, c.data + j, c.stride, rows, depth, scale);
    j += 2 * kLanes;
  }
  if (j + kLanes <= width) {
    columns<1, kLanes, kAccumulate>(a, panel(j), b, c.data + j, c.stride, rows, depth, scale);
    j += kLanes;
  }
  if (j + kLanes / 2 <= width) {
    columns<1, kLanes / 2, kAccumulate>(a, panel(j), b, c.data + j, c.stride, rows, depth, scale);
    j += kLanes / 2;
  }
  if (j + kLanes / 4 <= width) {
    columns<1, kLanes / 4, kAccumulate>(a, panel(j), b, c.data + j, c.stride, rows, depth, scale);
    j += kLanes / 4;
  }
  for (; j < width; ++j) {
    const T* right = panel(j);
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* left = a.data + i * a.row;
      T sum = 0;
      for (std::int64_t k = 0; k < depth; ++k) sum += left[k * a.step] * right[k * b.row];
      T& out = c.row(i)[j];
      out = (kAccumulate ? out : T(0)) + scale * sum;
    }
  }
}

// In blocks, so that neither side's cache lines are fetched more than once.
template <typename T>
CHORALE_INLINE void transpose(Rows<const T> in, Rows<T> out, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kBlock = 16;
  for (std::int64_t i = 0; i < rows; i += kBlock) {
    const std::int64_t high = std::min(rows, i + kBlock);
    for (std::int64_t j = 0; j < columns; ++j) {
      T* to = out.row(j);
      for (std::int64_t k = i; k < high; ++k) to[k] = in.row(k)[j];
    }
  }
}

#if defined(CHORALE_WIDE)
// A square of 16 x 16 in registers: interleaving row i with row i + 8 four times turns rows into columns (Eklundh's
// perfect shuffle).
CHORALE_WIDE void transpose_square(Rows<const float> in, Rows<float> out) {
  using Vector = Lanes<float, 16>::Vector;
  Vector a[16];  // NOLINT(modernize-avoid-c-arrays): registers, not memory
  Vector b[16];  // NOLINT(modernize-avoid-c-arrays)
  const auto interleave = [](const Vector* from, Vector* to) __attribute__((always_inline, target("arch=x86-64-v4"))) {
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; ++i) {
      to[2 * i] = __builtin_shufflevector(from[i], from[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      to[2 * i + 1] =
          __builtin_shufflevector(from[i], from[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
  };
#pragma GCC unroll 16
  for (unsigned i = 0; i < 16; ++i) std::memcpy(&a[i], in.row(i), sizeof(Vector));
  interleave(a, b);
  interleave(b, a);
  interleave(a, b);
  interleave(b, a);
#pragma GCC unroll 16
  for (unsigned i = 0; i < 16; ++i) std::memcpy(out.row(i), &a[i], sizeof(Vector));
}
#endif

}  // namespace

CHORALE_SIMD void small_product(const LeftFactor<float>& a, const RightFactor<float>& b, Rows<float> c,
                                std::int64_t rows, std::int64_t columns, std::int64_t depth, float scale) {
  product<false>(a, b, c, rows, columns, depth, scale);
}
CHORALE_SIMD void small_product(const LeftFactor<double>& a, const RightFactor<double>& b, Rows<double> c,
                                std::int64_t rows, std::int64_t columns, std::int64_t depth, double scale) {
  product<false>(a, b, c, rows, columns, depth, scale);
}
CHORALE_SIMD void small_product_add(const LeftFactor<float>& a, const RightFactor<float>& b, Rows<float> c,
                                    std::int64_t rows, std::int64_t columns, std::int64_t depth, float scale) {
  product<true>(a, b, c, rows, columns, depth, scale);
}
CHORALE_SIMD void small_product_add(const LeftFactor<double>& a, const RightFactor<double>& b, Rows<double> c,
                                    std::int64_t rows, std::int64_t columns, std::int64_t depth, double scale) {
  product<true>(a, b, c, rows, columns, depth, scale);
}
void transpose_rows(Rows<const float> in, Rows<float> out, std::int64_t rows, std::int64_t columns) {
  std::int64_t i = 0;
#if defined(CHORALE_WIDE)
  constexpr std::int64_t kSquare = 16;
  for (; simd::has_wide_vectors() && i + kSquare <= rows; i += kSquare) {
    std::int64_t j = 0;
    for (; j + kSquare <= columns; j += kSquare) {
      transpose_square(Rows<const float>{in.row(i) + j, in.stride}, Rows<float>{out.row(j) + i, out.stride});
    }
    transpose(Rows<const float>{in.row(i) + j, in.stride}, Rows<float>{out.row(j) + i, out.stride}, kSquare,
              columns - j);
  }
#endif
  transpose(Rows<const float>{in.row(i), in.stride}, Rows<float>{out.data + i, out.stride}, rows - i, columns);
}
CHORALE_SIMD void transpose_rows(Rows<const double> in, Rows<double> out, std::int64_t rows, std::int64_t columns) {
  transpose(in, out, rows, columns);
}

}  // namespace chorale
