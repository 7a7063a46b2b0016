// The optimiser over the flat buffers: sums of squares, one decision per member, one pass of AdamW. See
// device_adamw.hpp.
#include "core/kernels/cuda/device.cuh"
#include "core/kernels/cuda/kernels.hpp"

namespace chorale::CHORALE_KERNELS {
namespace {

constexpr int kThreads = 256;

// Block (part, member): float64 products of float32 numbers are exact, so only the sums round.
__global__ void squared_norms_kernel(device::SquaredNorms p) {
  CHORALE_SHARED_ARRAY(double, shared, 32);
  const Index member = blockIdx.y;
  const Index begin = blockIdx.x * p.part;
  const Index end = begin + p.part < p.width ? begin + p.part : p.width;
  const float* g = p.gradients + member * p.width;
  double sum = 0.0;
  for (Index i = begin + threadIdx.x; i < end; i += kThreads)
    sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) p.partial[member * p.parts + blockIdx.x] = sum;
}

__global__ void decide_kernel(device::DecideStep p) {
  CHORALE_SHARED_ARRAY(double, shared, 32);
  const Index member = blockIdx.x;
  double sum = 0.0;
  for (Index i = threadIdx.x; i < p.parts; i += kThreads) sum += p.partial[member * p.parts + i];
  sum = block_sum(sum, shared);
  if (threadIdx.x != 0) return;
  const double norm = sqrt(sum);
  const Index step = *p.step;
  const double factor = p.factors[step < p.factor_count ? step : p.factor_count - 1];
  p.norms[member] = norm;
  decide_member(p.settings, norm, factor * p.rates[member], step,
                {p.training + member, p.counts + member, p.diverged_at + member},
                p.coefficients + member * kAdamWCoefficients);
}

struct Constants {
  float beta1, beta2, one_minus_beta1, one_minus_beta2, epsilon;
  float gradient_scale, step_size, inverse_root;
};

// The arithmetic of core/kernels/adamw_kernel.cpp.
__device__ __forceinline__ float step_of(const Constants& c, float keep, float p, float g, float& m1, float& m2) {
  const float gradient = g * c.gradient_scale;
  m1 = c.beta1 * m1 + c.one_minus_beta1 * gradient;
  m2 = c.beta2 * m2 + c.one_minus_beta2 * gradient * gradient;
  return p * keep - c.step_size * m1 / (sqrtf(m2) * c.inverse_root + c.epsilon);
}

// Block (part, member), N columns at a time: 28 bytes of traffic per parameter, 30 with the copy.
template <int N>
__global__ void apply_kernel(device::ApplyAdamW a) {
  constexpr Index kColumns = Index{kThreads} * N * 4;
  const Index member = blockIdx.y;
  if (blockIdx.x == 0 && member == 0 && threadIdx.x == 0) ++*a.step;
  const double* c = a.coefficients + member * kAdamWCoefficients;
  if (c[kAction] == kLeave) return;
  const bool take_away = c[kAction] == kTakeAway;
  const double rate = c[kLearningRate];
  const Constants constants{static_cast<float>(a.settings.beta1),       static_cast<float>(a.settings.beta2),
                            static_cast<float>(1.0 - a.settings.beta1), static_cast<float>(1.0 - a.settings.beta2),
                            static_cast<float>(a.settings.epsilon),     static_cast<float>(c[kGradientScale]),
                            static_cast<float>(c[kStepSize]),           static_cast<float>(c[kInverseRoot])};
  Index column = blockIdx.x * kColumns + threadIdx.x * N;
  // The segment of the first column by bisection; the following columns' segments lie on.
  Index segment = 0;
  for (Index count = a.segments; count > 0;) {
    const Index half = count / 2;
    if (a.segment_ends[segment + half] <= column) {
      segment += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  const auto keep_of = [&](Index s) { return static_cast<float>(1.0 - rate * a.segment_decays[s]); };
  if (column >= a.width) return;
  float keep = keep_of(segment);
  Index end = a.segment_ends[segment];
  const Index row = member * a.width;
  for (int part = 0; part < 4 && column < a.width; ++part, column += kThreads * N) {
    Pack<float, N> p = load<N>(a.parameters + row + column);
    const Pack<float, N> g = load<N>(a.gradients + row + column);
    Pack<float, N> m1 = load<N>(a.first_moment + row + column);
    Pack<float, N> m2 = load<N>(a.second_moment + row + column);
    for (int i = 0; i < N; ++i) {
      while (column + i >= end) {
        end = a.segment_ends[++segment];
        keep = keep_of(segment);
      }
      p.v[i] = take_away ? 0.0F : step_of(constants, keep, p.v[i], g.v[i], m1.v[i], m2.v[i]);
    }
    store(a.parameters + row + column, p);
    if (!take_away) {
      store(a.first_moment + row + column, m1);
      store(a.second_moment + row + column, m2);
    }
    if (a.copy != nullptr) {
      Pack<bf16, N> rounded;
      for (int i = 0; i < N; ++i) rounded.v[i] = from_float<bf16>(p.v[i]);
      store(static_cast<bf16*>(a.copy) + row + column, rounded);
    }
  }
}

Error squared_norms(const device::SquaredNorms& p, Stream stream) {
  return launch(squared_norms_kernel, dim3(static_cast<unsigned>(p.parts), static_cast<unsigned>(p.members)),
                dim3(kThreads), 0, stream, p);
}

Error decide_step(const device::DecideStep& p, Stream stream) {
  return launch(decide_kernel, dim3(static_cast<unsigned>(p.members)), dim3(kThreads), 0, stream, p);
}

Error apply_adamw(const device::ApplyAdamW& p, Stream stream) {
  const bool packs = packs_fit<float>(p.parameters, p.width, 4) && packs_fit<float>(p.gradients, p.width, 4) &&
                     packs_fit<float>(p.first_moment, p.width, 4) && packs_fit<float>(p.second_moment, p.width, 4) &&
                     packs_fit<bf16>(p.copy, p.width, 4);
  const Index columns = Index{kThreads} * (packs ? 4 : 1) * 4;
  const dim3 grid(static_cast<unsigned>(parts_of(p.width, columns)), static_cast<unsigned>(p.members));
  return launch(packs ? apply_kernel<4> : apply_kernel<1>, grid, dim3(kThreads), 0, stream, p);
}

}  // namespace

void add_adamw(device::Kernels& kernels) {
  kernels.squared_norms = squared_norms;
  kernels.decide_step = decide_step;
  kernels.apply_adamw = apply_adamw;
}

}  // namespace chorale::CHORALE_KERNELS
