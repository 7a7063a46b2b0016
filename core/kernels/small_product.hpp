// A register-blocked product for matrices that one core reads from its own cache: what low-rank adapters and attention
// are made of. A matrix library spends most of its time on such shapes packing what is then used once.
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

/// The left factor: element (i, k) is data[i * row + k * step], so a transposed matrix needs no copy.
template <typename T>
struct LeftFactor {
  const T* data = nullptr;
  std::int64_t row = 0;
  std::int64_t step = 1;
};

/// The right factor in panels of one vector's width: element (k, panel * lanes + j) is data[k * row + panel *
/// panel_step
/// + j]. A row-major matrix has panel_step = lanes; packed panels, contiguous each, have row = lanes.
template <typename T>
struct RightFactor {
  const T* data = nullptr;
  std::int64_t row = 0;
  std::int64_t panel_step = 0;
};

/// Values in a panel: 64 bytes.
template <typename T>
constexpr std::int64_t kPanel = 64 / static_cast<std::int64_t>(sizeof(T));

/// C = scale * A B. A: [rows, depth], B: [depth, width], C: [rows, width]. Every element is summed in the order of the
/// depth, however the work is shared out. Single-threaded. float and double.
void small_product(const LeftFactor<float>& a, const RightFactor<float>& b, Rows<float> c, std::int64_t rows,
                   std::int64_t width, std::int64_t depth, float scale);
void small_product(const LeftFactor<double>& a, const RightFactor<double>& b, Rows<double> c, std::int64_t rows,
                   std::int64_t width, std::int64_t depth, double scale);

/// C += scale * A B.
void small_product_add(const LeftFactor<float>& a, const RightFactor<float>& b, Rows<float> c, std::int64_t rows,
                       std::int64_t width, std::int64_t depth, float scale);
void small_product_add(const LeftFactor<double>& a, const RightFactor<double>& b, Rows<double> c, std::int64_t rows,
                       std::int64_t width, std::int64_t depth, double scale);

/// C = scale * A B, or with `add` C += it.
template <typename T>
void small_product(const LeftFactor<T>& a, const RightFactor<T>& b, Rows<T> c, std::int64_t rows, std::int64_t width,
                   std::int64_t depth, T scale, bool add) {
  if (add) {
    small_product_add(a, b, c, rows, width, depth, scale);
  } else {
    small_product(a, b, c, rows, width, depth, scale);
  }
}

/// out [columns, rows] = in [rows, columns] transposed.
void transpose_rows(Rows<const float> in, Rows<float> out, std::int64_t rows, std::int64_t columns);
void transpose_rows(Rows<const double> in, Rows<double> out, std::int64_t rows, std::int64_t columns);

}  // namespace chorale
