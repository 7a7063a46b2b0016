// The dialect our kernels are written in: CUDA under nvcc, and its emulation on the CPU under any other compiler, which
// includes that first (tests/support/cuda_emulation.hpp).
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <mma.h>
#define CHORALE_KERNELS cuda
#elif defined(CHORALE_CUDA_EMULATION)
#define CHORALE_KERNELS emulated
#else
#error "A file of kernels is compiled by nvcc, or with tests/support/cuda_emulation.hpp included first."
#endif

#include "core/kernels/cuda/launch.hpp"

namespace chorale::CHORALE_KERNELS {

using device::Error;
using device::Index;
using device::Stream;
using device::Type;

#ifdef __CUDACC__
using bf16 = __nv_bfloat16;
__device__ __forceinline__ void check_aligned(const void* /*address*/, std::size_t /*bytes*/) {}
/// Memory that a block's threads share, at the launch's size.
#define CHORALE_SHARED(T, name)                                  \
  extern __shared__ __align__(128) unsigned char shared_bytes[]; \
  T* const name = reinterpret_cast<T*>(shared_bytes)
/// The same, of a size known here.
#define CHORALE_SHARED_ARRAY(T, name, count) __shared__ T name[count]

template <typename... P, typename... A>
Error launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, Stream stream, const A&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return nullptr;
  kernel<<<grid, block, shared, static_cast<cudaStream_t>(stream)>>>(arguments...);
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}
#else
using bf16 = emulation::BFloat16;
using emulation::check_aligned;
using emulation::dim3;
using emulation::launch;
#endif

__device__ __forceinline__ float to_float(float x) {
  return x;
}
__device__ __forceinline__ float to_float(bf16 x) {
  return __bfloat162float(x);
}
template <typename T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
  return __float2bfloat16_rn(x);
}

/// N neighbouring elements that are loaded and stored in one access.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};

template <int N, typename T>
__device__ __forceinline__ Pack<T, N> load(const T* at) {
  check_aligned(at, sizeof(T) * N);
  return *reinterpret_cast<const Pack<T, N>*>(at);
}
template <int N, typename T>
__device__ __forceinline__ void store(T* at, const Pack<T, N>& pack) {
  check_aligned(at, sizeof(T) * N);
  *reinterpret_cast<Pack<T, N>*>(at) = pack;
}

__device__ __forceinline__ float warp_sum(float x) {
  for (int lane = 16; lane > 0; lane /= 2) x += __shfl_xor_sync(0xFFFFFFFFU, x, lane);
  return x;
}
__device__ __forceinline__ double warp_sum(double x) {
  for (int lane = 16; lane > 0; lane /= 2) x += __shfl_xor_sync(0xFFFFFFFFU, x, lane);
  return x;
}

/// Sum over all threads of a block of whole warps, in a fixed order, known to every thread. `shared`: 32 elements that
/// nobody uses meanwhile.
template <typename T>
__device__ __forceinline__ T block_sum(T x, T* shared) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warps = static_cast<int>(blockDim.x) / 32;
  x = warp_sum(x);
  __syncthreads();  // a previous sum has been read
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  return warp_sum(lane < warps ? shared[lane] : T(0));
}

__host__ __device__ __forceinline__ Index parts_of(Index count, Index size) {
  return (count + size - 1) / size;
}

/// Whether rows of `width` elements from `address` on can be read N at a time.
template <typename T>
__host__ __device__ inline bool packs_fit(const void* address, Index stride, int n) {
  return stride % n == 0 && reinterpret_cast<std::uintptr_t>(address) % (sizeof(T) * static_cast<std::size_t>(n)) == 0;
}

}  // namespace chorale::CHORALE_KERNELS
