// CUDA's dialect on the CPU, as far as our kernels use it: the threads of a block are fibres that change places only
// where they wait for each other. What goes unnoticed on a GPU until it hurts is an error here: threads that miss a
// barrier, misaligned vectors, shared memory read before it is written (it holds NaNs), results that depend on the
// order of threads (set_order), and, under AddressSanitizer, anything beyond the end of a buffer.
#pragma once

#define CHORALE_CUDA_EMULATION

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define CHORALE_SHARED(T, name) T* const name = reinterpret_cast<T*>(::chorale::emulation::shared_memory())
#define CHORALE_SHARED_ARRAY(T, name, count) \
  static T name[count];                      \
  ::chorale::emulation::poison(name, sizeof(name))

namespace chorale::emulation {

struct dim3 {
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}  // as CUDA's: from a number
  unsigned x, y, z;
};

/// In which order the threads that can go on do so.
enum class Order { ascending, descending, shuffled };
void set_order(Order order);

/// Runs every block, one after the other. Throws std::logic_error for what a kernel must not do.
void run(dim3 grid, dim3 block, std::size_t shared, const std::function<void()>& thread);

/// Kernels run so far.
std::uint64_t launches();

void wait_for_block();
void wait_for_warp();
/// Every lane gives a value and takes the one of lane `from`.
std::uint64_t exchange(std::uint64_t value, int from);
int lane();

void* shared_memory();
/// Fills with NaNs, once per block.
void poison(void* memory, std::size_t bytes);
void check_aligned(const void* address, std::size_t bytes);

/// bfloat16 by its bits; rounds to nearest, ties to even, as the hardware.
struct BFloat16 {
  std::uint16_t bits;
};

template <typename... P, typename... A>
const char* launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, void* /*stream*/,
                   const A&... arguments) {
  run(grid, block, shared, [&] { kernel(arguments...); });
  return nullptr;
}

extern dim3 thread_index, block_index, block_dim, grid_dim;

}  // namespace chorale::emulation

#define threadIdx (::chorale::emulation::thread_index)
#define blockIdx (::chorale::emulation::block_index)
#define blockDim (::chorale::emulation::block_dim)
#define gridDim (::chorale::emulation::grid_dim)

inline void __syncthreads() {
  chorale::emulation::wait_for_block();
}
inline void __syncwarp() {
  chorale::emulation::wait_for_warp();
}
template <typename T>
T __shfl_xor_sync(unsigned /*mask*/, T value, int distance) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = chorale::emulation::exchange(bits, chorale::emulation::lane() ^ distance);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float __bfloat162float(chorale::emulation::BFloat16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16U);
}
inline chorale::emulation::BFloat16 __float2bfloat16_rn(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (std::isnan(x)) return {0x7FFFU};
  return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U)};
}
inline float rsqrtf(float x) {
  return 1.0F / std::sqrt(x);
}

// Tensor cores: one lane of the warp holds the whole tile and computes with it.
namespace nvcuda::wmma {

struct row_major {};
struct col_major {};
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
enum layout_t { mem_row_major, mem_col_major };

template <typename Use, int M, int N, int K, typename T, typename Layout = row_major>
struct fragment {
  float tile[16][16];  // as [row][column], whatever the layout in memory
};

template <typename Use, typename T, typename Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& f, const T* at, unsigned stride) {
  chorale::emulation::check_aligned(at, 32);
  if (stride % 8 != 0) chorale::emulation::check_aligned(nullptr, 0);
  if (chorale::emulation::lane() != 0) return;
  for (unsigned i = 0; i < 16; ++i) {
    for (unsigned j = 0; j < 16; ++j) {
      const bool rows = std::is_same_v<Layout, row_major>;
      f.tile[i][j] = __bfloat162float(rows ? at[i * stride + j] : at[j * stride + i]);
    }
  }
}

template <typename T>
void fill_fragment(fragment<accumulator, 16, 16, 16, T>& f, float value) {
  for (auto& row : f.tile) {
    for (float& x : row) x = value;
  }
}

template <typename D, typename A, typename B, typename C>
void mma_sync(D& d, const A& a, const B& b, const C& c) {
  if (chorale::emulation::lane() != 0) return;
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      float sum = c.tile[i][j];
      for (int k = 0; k < 16; ++k) sum += a.tile[i][k] * b.tile[k][j];
      d.tile[i][j] = sum;
    }
  }
}

inline void store_matrix_sync(float* at, const fragment<accumulator, 16, 16, 16, float>& f, unsigned stride,
                              layout_t /*layout*/) {
  chorale::emulation::check_aligned(at, 32);
  if (chorale::emulation::lane() != 0) return;
  for (unsigned i = 0; i < 16; ++i) {
    for (unsigned j = 0; j < 16; ++j) at[i * stride + j] = f.tile[i][j];
  }
}

}  // namespace nvcuda::wmma
