#include "core/kernels/vocabulary_softmax.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/kernels/simd.hpp"
#include "core/kernels/small_product.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kRows = 32;                // of hidden at a time
constexpr std::int64_t kBlockBytes = 256 * 1024;  // of the head at a time: stays in the second-level cache, twice

template <typename T>
struct Running {
  T maximum = -std::numeric_limits<T>::infinity();
  T sum = 0;
};

// Turns a row's logits into exp(logit - maximum), whatever came before into the same unit.
template <typename T>
CHORALE_INLINE void take_in(T* logits, std::int64_t count, Running<T>& running, T* expected, std::int64_t width) {
  T maximum = running.maximum;
#pragma omp simd reduction(max : maximum)
  for (std::int64_t j = 0; j < count; ++j) maximum = logits[j] > maximum ? logits[j] : maximum;
  if (maximum > running.maximum) {
    const T factor = simd::exponential(running.maximum - maximum);
    running.sum *= factor;
    running.maximum = maximum;
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) expected[i] *= factor;
  }
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t j = 0; j < count; ++j) {
    logits[j] = simd::exponential(logits[j] - maximum);
    sum += logits[j];
  }
  running.sum += sum;
}

template <typename T>
CHORALE_INLINE void divide(T* x, std::int64_t count, T by) {
  const T factor = T(1) / by;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) x[i] *= factor;
}

CHORALE_SIMD void take_in_row(float* logits, std::int64_t count, Running<float>& running, float* expected,
                              std::int64_t width) {
  take_in(logits, count, running, expected, width);
}
CHORALE_SIMD void take_in_row(double* logits, std::int64_t count, Running<double>& running, double* expected,
                              std::int64_t width) {
  take_in(logits, count, running, expected, width);
}
CHORALE_SIMD void divide_row(float* x, std::int64_t count, float by) {
  divide(x, count, by);
}
CHORALE_SIMD void divide_row(double* x, std::int64_t count, double by) {
  divide(x, count, by);
}

template <typename T>
void run(const at::Tensor& hidden, const at::Tensor& head, at::Tensor& log_total, at::Tensor* expected) {
  const std::int64_t rows = hidden.size(0);
  const std::int64_t width = hidden.size(1);
  const std::int64_t vocabulary = head.size(0);
  const auto* x = hidden.const_data_ptr<T>();
  auto* out = expected == nullptr ? nullptr : expected->mutable_data_ptr<T>();
  if (out != nullptr) std::fill_n(out, rows * width, T(0));
  std::vector<Running<T>> running(static_cast<std::size_t>(rows));
  const auto bytes = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t block = std::max(kPanel<T>, kBlockBytes / (width * bytes) / kPanel<T> * kPanel<T>);
  std::vector<T> packed(static_cast<std::size_t>(block * width));
  for (std::int64_t begin = 0; begin < vocabulary; begin += block) {
    const std::int64_t count = std::min(block, vocabulary - begin);
    // The block of the head as it lies, and transposed, in panels.
    const at::Tensor rows_here = head.narrow(0, begin, count).to(hidden.scalar_type()).contiguous();
    const auto* w = rows_here.const_data_ptr<T>();
    const std::int64_t panels = (count + kPanel<T> - 1) / kPanel<T>;
    at::parallel_for(0, panels, 8, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t p = from; p < to; ++p) {
        const std::int64_t first = p * kPanel<T>;
        transpose_rows(Rows<const T>{w + first * width, width}, Rows<T>{packed.data() + first * width, kPanel<T>},
                       std::min(kPanel<T>, count - first), width);
      }
    });
    at::parallel_for(0, (rows + kRows - 1) / kRows, 1, [&](std::int64_t from, std::int64_t to) {
      std::vector<T> logits(static_cast<std::size_t>(kRows * block));
      for (std::int64_t part = from; part < to; ++part) {
        const std::int64_t row = part * kRows;
        const std::int64_t here = std::min(kRows, rows - row);
        small_product(LeftFactor<T>{x + row * width, width, 1},
                      RightFactor<T>{packed.data(), kPanel<T>, kPanel<T> * width}, Rows<T>{logits.data(), block}, here,
                      count, width, T(1));
        for (std::int64_t i = 0; i < here; ++i) {
          take_in_row(logits.data() + i * block, count, running[static_cast<std::size_t>(row + i)],
                      out == nullptr ? nullptr : out + (row + i) * width, out == nullptr ? 0 : width);
        }
        if (out == nullptr) continue;
        small_product_add(LeftFactor<T>{logits.data(), block, 1}, RightFactor<T>{w, width, kPanel<T>},
                          Rows<T>{out + row * width, width}, here, width, count, T(1));
      }
    });
  }
  auto* total = log_total.mutable_data_ptr<T>();
  for (std::int64_t row = 0; row < rows; ++row) {
    const Running<T>& found = running[static_cast<std::size_t>(row)];
    total[row] = found.maximum + std::log(found.sum);
    if (out != nullptr) divide_row(out + row * width, width, found.sum);
  }
}

}  // namespace

void vocabulary_softmax(const at::Tensor& hidden, const at::Tensor& head, at::Tensor& log_total, at::Tensor* expected) {
  hidden.scalar_type() == at::kFloat ? run<float>(hidden, head, log_total, expected)
                                     : run<double>(hidden, head, log_total, expected);
}

}  // namespace chorale
