// Root-mean-square normalisation of the residual stream, with the addition before it. One block per row; a row stays in
// registers between the two passes over it, so it is read once: 4 + 2 bytes in, 4 + 2 bytes out per element.
#include "core/kernels/cuda/device.cuh"
#include "core/kernels/cuda/kernels.hpp"

namespace chorale::CHORALE_KERNELS {
namespace {

template <typename T, int N>
__device__ __forceinline__ Pack<float, N> widened(const T* at) {
  const Pack<T, N> pack = load<N>(at);
  Pack<float, N> result;
  for (int i = 0; i < N; ++i) result.v[i] = to_float(pack.v[i]);
  return result;
}

template <typename T, int N>
__device__ __forceinline__ void store_rounded(T* at, const Pack<float, N>& pack) {
  Pack<T, N> result;
  for (int i = 0; i < N; ++i) result.v[i] = from_float<T>(pack.v[i]);
  store(at, result);
}

// N elements per access, kKept accesses per thread held in registers; what a row has beyond that is read again.
template <typename T, int N, int kKept>
__global__ void forward_kernel(device::RmsNormForward a) {
  CHORALE_SHARED_ARRAY(float, shared, 32);
  const Index row = blockIdx.x * a.hidden;
  const Index packs = a.hidden / N;
  const float* x = a.x + row;
  const T* delta = a.delta == nullptr ? nullptr : static_cast<const T*>(a.delta) + row;
  T* y = static_cast<T*>(a.y) + row;
  const auto summed = [&](Index pack) {
    Pack<float, N> v = load<N>(x + pack * N);
    if (delta == nullptr) return v;
    const Pack<float, N> d = widened<T, N>(delta + pack * N);
    for (int i = 0; i < N; ++i) v.v[i] += d.v[i];
    return v;
  };
  Pack<float, N> kept[kKept];
  float sum = 0;
  const auto take = [&](const Pack<float, N>& v, Index pack) {
    if (delta != nullptr) store(a.residual + row + pack * N, v);
    for (int i = 0; i < N; ++i) sum += v.v[i] * v.v[i];
  };
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const Index pack = threadIdx.x + Index{k} * blockDim.x;
    if (pack >= packs) continue;
    kept[k] = summed(pack);
    take(kept[k], pack);
  }
  for (Index pack = threadIdx.x + Index{kKept} * blockDim.x; pack < packs; pack += blockDim.x) take(summed(pack), pack);
  sum = block_sum(sum, shared);
  const float scale = 1.0F / sqrtf(sum / static_cast<float>(a.hidden) + a.epsilon);
  if (threadIdx.x == 0) a.scales[blockIdx.x] = scale;
  const auto give = [&](const Pack<float, N>& v, Index pack) {
    const Pack<float, N> weight = load<N>(a.weight + pack * N);
    Pack<float, N> out;
    for (int i = 0; i < N; ++i) out.v[i] = v.v[i] * scale * weight.v[i];
    store_rounded<T, N>(y + pack * N, out);
  };
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const Index pack = threadIdx.x + Index{k} * blockDim.x;
    if (pack < packs) give(kept[k], pack);
  }
  for (Index pack = threadIdx.x + Index{kKept} * blockDim.x; pack < packs; pack += blockDim.x) give(summed(pack), pack);
}

// dx = d_residual + scale * (g - x * dot * scale^2 / hidden) with g = dy*weight, dot = sum(g*x).
template <typename T, int N, int kKept>
__global__ void backward_kernel(device::RmsNormBackward a) {
  CHORALE_SHARED_ARRAY(float, shared, 32);
  const Index row = blockIdx.x * a.hidden;
  const Index packs = a.hidden / N;
  const float* x = a.residual + row;
  const T* dy = static_cast<const T*>(a.dy) + row;
  const auto weighted = [&](Index pack) {
    Pack<float, N> g = widened<T, N>(dy + pack * N);
    const Pack<float, N> weight = load<N>(a.weight + pack * N);
    for (int i = 0; i < N; ++i) g.v[i] *= weight.v[i];
    return g;
  };
  Pack<float, N> kept_x[kKept];
  Pack<float, N> kept_g[kKept];
  float dot = 0;
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const Index pack = threadIdx.x + Index{k} * blockDim.x;
    if (pack >= packs) continue;
    kept_x[k] = load<N>(x + pack * N);
    kept_g[k] = weighted(pack);
    for (int i = 0; i < N; ++i) dot += kept_g[k].v[i] * kept_x[k].v[i];
  }
  for (Index pack = threadIdx.x + Index{kKept} * blockDim.x; pack < packs; pack += blockDim.x) {
    const Pack<float, N> g = weighted(pack);
    const Pack<float, N> here = load<N>(x + pack * N);
    for (int i = 0; i < N; ++i) dot += g.v[i] * here.v[i];
  }
  dot = block_sum(dot, shared);
  const float scale = a.scales[blockIdx.x];
  const float shift = dot * scale * scale / static_cast<float>(a.hidden);
  const auto give = [&](const Pack<float, N>& here, const Pack<float, N>& g, Index pack) {
    Pack<float, N> out;
    for (int i = 0; i < N; ++i) out.v[i] = scale * (g.v[i] - here.v[i] * shift);
    if (a.d_residual != nullptr) {
      const Pack<float, N> before = load<N>(a.d_residual + row + pack * N);
      for (int i = 0; i < N; ++i) out.v[i] += before.v[i];
    }
    store(a.dx + row + pack * N, out);
    if (a.d_delta != nullptr) store_rounded<T, N>(static_cast<T*>(a.d_delta) + row + pack * N, out);
  };
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const Index pack = threadIdx.x + Index{k} * blockDim.x;
    if (pack < packs) give(kept_x[k], kept_g[k], pack);
  }
  for (Index pack = threadIdx.x + Index{kKept} * blockDim.x; pack < packs; pack += blockDim.x) {
    give(load<N>(x + pack * N), weighted(pack), pack);
  }
}

// Whole warps, no more than a row has packs for, at most 256 threads.
unsigned threads_for(Index packs) {
  const Index warps = parts_of(packs, 32);
  return static_cast<unsigned>(32 * (warps < 1 ? 1 : (warps > 8 ? 8 : warps)));
}

template <typename T>
bool in_fours(Index hidden, const void* weight, const void* a, const void* b, const void* c, const void* low,
              const void* low2) {
  return packs_fit<float>(weight, hidden, 4) && packs_fit<float>(a, hidden, 4) && packs_fit<float>(b, hidden, 4) &&
         packs_fit<float>(c, hidden, 4) && packs_fit<T>(low, hidden, 4) && packs_fit<T>(low2, hidden, 4);
}

template <typename T>
Error forward_of(const device::RmsNormForward& a, Stream stream) {
  const dim3 grid(static_cast<unsigned>(a.rows));
  if (!in_fours<T>(a.hidden, a.weight, a.x, a.residual, a.residual, a.delta, a.y)) {
    return launch(forward_kernel<T, 1, 8>, grid, dim3(threads_for(a.hidden)), 0, stream, a);
  }
  const auto kernel = a.hidden <= 256 * 4 * 2 ? forward_kernel<T, 4, 2> : forward_kernel<T, 4, 8>;
  return launch(kernel, grid, dim3(threads_for(a.hidden / 4)), 0, stream, a);
}

template <typename T>
Error backward_of(const device::RmsNormBackward& a, Stream stream) {
  const dim3 grid(static_cast<unsigned>(a.rows));
  if (!in_fours<T>(a.hidden, a.weight, a.residual, a.d_residual, a.dx, a.dy, a.d_delta)) {
    return launch(backward_kernel<T, 1, 8>, grid, dim3(threads_for(a.hidden)), 0, stream, a);
  }
  const auto kernel = a.hidden <= 256 * 4 * 2 ? backward_kernel<T, 4, 2> : backward_kernel<T, 4, 8>;
  return launch(kernel, grid, dim3(threads_for(a.hidden / 4)), 0, stream, a);
}

Error rms_norm_forward(const device::RmsNormForward& a, Stream stream) {
  return a.type == Type::bf16 ? forward_of<bf16>(a, stream) : forward_of<float>(a, stream);
}

Error rms_norm_backward(const device::RmsNormBackward& a, Stream stream) {
  return a.type == Type::bf16 ? backward_of<bf16>(a, stream) : backward_of<float>(a, stream);
}

}  // namespace

void add_rms_norm(device::Kernels& kernels) {
  kernels.rms_norm_forward = rms_norm_forward;
  kernels.rms_norm_backward = rms_norm_backward;
}

}  // namespace chorale::CHORALE_KERNELS
