// The output head's logits, a block of rows at a time: picked ones, log-sum-exp and softmax where they lie, gradients.
#include "core/kernels/cuda/device.cuh"
#include "core/kernels/cuda/kernels.hpp"

namespace chorale::CHORALE_KERNELS {
namespace {

constexpr int kThreads = 256;
constexpr int kRowThreads = 512;

template <typename T>
__global__ void pick_kernel(device::PickLogits a) {
  const Index pick = Index{blockIdx.x} * kThreads + threadIdx.x;
  if (pick >= a.picks) return;
  const Index row = a.output_of[pick] - a.first;
  if (row < 0 || row >= a.rows) return;
  a.picked[pick] = to_float(static_cast<const T*>(a.logits)[row * a.vocabulary + a.token_of[pick]]);
}

// The largest logit so far and the sum of exponentials relative to it.
struct Running {
  float largest = -INFINITY;
  float sum = 0.0F;

  template <int N>
  __device__ __forceinline__ void take(const float (&x)[N]) {
    float high = largest;
    for (int i = 0; i < N; ++i) high = x[i] > high ? x[i] : high;
    if (high > largest) {
      sum *= expf(largest - high);
      largest = high;
    }
    for (int i = 0; i < N; ++i) {
      if (x[i] != -INFINITY) sum += expf(x[i] - largest);  // a NaN makes the sum one
    }
  }
  __device__ __forceinline__ void join(float other, float other_sum) {
    const float high = largest > other ? largest : other;
    if (high == -INFINITY) return;
    sum = sum * expf(largest - high) + other_sum * expf(other - high);
    largest = high;
  }
};

// Block: a row, read twice (the second time from the L2 cache: a block of rows is made to fit there).
template <typename T, int N>
__global__ void softmax_kernel(device::SoftmaxRows a) {
  CHORALE_SHARED_ARRAY(float, largest, 32);
  CHORALE_SHARED_ARRAY(float, sums, 32);
  T* row = static_cast<T*>(a.logits) + blockIdx.x * a.vocabulary;
  const Index packs = a.vocabulary / N;
  Running running;
  for (Index pack = threadIdx.x; pack < packs; pack += kRowThreads) {
    const Pack<T, N> logits = load<N>(row + pack * N);
    float x[N];
    for (int i = 0; i < N; ++i) x[i] = to_float(logits.v[i]);
    running.take(x);
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    const float other = __shfl_xor_sync(0xFFFFFFFFU, running.largest, distance);
    const float other_sum = __shfl_xor_sync(0xFFFFFFFFU, running.sum, distance);
    running.join(other, other_sum);
  }
  if (threadIdx.x % 32 == 0) {
    largest[threadIdx.x / 32] = running.largest;
    sums[threadIdx.x / 32] = running.sum;
  }
  __syncthreads();
  Running all;
  for (int warp = 0; warp < kRowThreads / 32; ++warp) all.join(largest[warp], sums[warp]);
  const float total = all.largest + logf(all.sum);
  if (threadIdx.x == 0) a.log_totals[blockIdx.x] = total;
  if (!a.overwrite) return;
  for (Index pack = threadIdx.x; pack < packs; pack += kRowThreads) {
    Pack<T, N> logits = load<N>(row + pack * N);
    for (int i = 0; i < N; ++i) logits.v[i] = from_float<T>(expf(to_float(logits.v[i]) - total));
    store(row + pack * N, logits);
  }
}

// Block: an output. Its picks in the order they were asked for, so that the sum is the same every time.
template <typename T>
__global__ void gradient_kernel(device::LikelihoodGradient a) {
  const Index output = blockIdx.x;
  const Index begin = a.pick_offsets[output];
  const Index end = a.pick_offsets[output + 1];
  float total = 0.0F;
  for (Index i = begin; i < end; ++i) total += a.weights[a.order[i]];
  const T* expected = static_cast<const T*>(a.expected) + output * a.hidden;
  for (Index column = threadIdx.x; column < a.hidden; column += kThreads) {
    float sum = -total * to_float(expected[column]);
    for (Index i = begin; i < end; ++i) {
      const Index pick = a.order[i];
      sum += a.weights[pick] * to_float(static_cast<const T*>(a.head)[a.token_of[pick] * a.hidden + column]);
    }
    static_cast<T*>(a.dx)[output * a.hidden + column] = from_float<T>(sum);
  }
}

template <typename T>
Error softmax_of(const device::SoftmaxRows& a, Stream stream) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  const bool wide = packs_fit<T>(a.logits, a.vocabulary, kWide);
  return launch(wide ? softmax_kernel<T, kWide> : softmax_kernel<T, 1>, dim3(static_cast<unsigned>(a.rows)),
                dim3(kRowThreads), 0, stream, a);
}

Error pick_logits(const device::PickLogits& a, Stream stream) {
  return launch(a.type == Type::bf16 ? pick_kernel<bf16> : pick_kernel<float>,
                dim3(static_cast<unsigned>(parts_of(a.picks, kThreads))), dim3(kThreads), 0, stream, a);
}

Error softmax_rows(const device::SoftmaxRows& a, Stream stream) {
  return a.type == Type::bf16 ? softmax_of<bf16>(a, stream) : softmax_of<float>(a, stream);
}

Error likelihood_gradient(const device::LikelihoodGradient& a, Stream stream) {
  return launch(a.type == Type::bf16 ? gradient_kernel<bf16> : gradient_kernel<float>,
                dim3(static_cast<unsigned>(a.outputs)), dim3(kThreads), 0, stream, a);
}

}  // namespace

void add_output_head(device::Kernels& kernels) {
  kernels.pick_logits = pick_logits;
  kernels.softmax_rows = softmax_rows;
  kernels.likelihood_gradient = likelihood_gradient;
}

}  // namespace chorale::CHORALE_KERNELS
