// What touches every element once: SwiGLU, rotary embedding, dropout masks. 16 bytes per access where rows allow it.
#include "core/kernels/cuda/device.cuh"
#include "core/kernels/cuda/kernels.hpp"

namespace chorale::CHORALE_KERNELS {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ float sigmoid(float x) {
  return 1.0F / (1.0F + expf(-x));
}

// Block: `kThreads` packs of one row. `parts` blocks share a row.
template <typename T, int N>
__global__ void swiglu_forward_kernel(device::SwiGlu a, Index parts) {
  const Index row = blockIdx.x / parts;
  const Index column = (blockIdx.x % parts * kThreads + threadIdx.x) * N;
  if (column >= a.width) return;
  const T* gate_up = static_cast<const T*>(a.gate_up) + row * 2 * a.width + column;
  const Pack<T, N> gate = load<N>(gate_up);
  const Pack<T, N> up = load<N>(gate_up + a.width);
  Pack<T, N> y;
  for (int i = 0; i < N; ++i) {
    const float g = to_float(gate.v[i]);
    y.v[i] = from_float<T>(g * sigmoid(g) * to_float(up.v[i]));
  }
  store(static_cast<T*>(a.y) + row * a.width + column, y);
}

// d silu(g)/dg = s * (1 + g * (1 - s)) with s = sigmoid(g). A thread reads what it writes to before.
template <typename T, int N>
__global__ void swiglu_backward_kernel(device::SwiGlu a, Index parts) {
  const Index row = blockIdx.x / parts;
  const Index column = (blockIdx.x % parts * kThreads + threadIdx.x) * N;
  if (column >= a.width) return;
  const Index at = row * 2 * a.width + column;
  const Pack<T, N> gate = load<N>(static_cast<const T*>(a.gate_up) + at);
  const Pack<T, N> up = load<N>(static_cast<const T*>(a.gate_up) + at + a.width);
  const Pack<T, N> dy = load<N>(static_cast<const T*>(a.dy) + row * a.width + column);
  Pack<T, N> d_gate;
  Pack<T, N> d_up;
  for (int i = 0; i < N; ++i) {
    const float g = to_float(gate.v[i]);
    const float u = to_float(up.v[i]);
    const float d = to_float(dy.v[i]);
    const float s = sigmoid(g);
    const float silu = g * s;
    d_gate.v[i] = from_float<T>(d * u * (s + silu * (1.0F - s)));
    d_up.v[i] = from_float<T>(d * silu);
  }
  store(static_cast<T*>(a.d_gate_up) + at, d_gate);
  store(static_cast<T*>(a.d_gate_up) + at + a.width, d_up);
}

template <int N>
__device__ __forceinline__ void load_angles(const float* at, float (&angles)[N]) {
  constexpr int kAtOnce = N < 4 ? N : 4;
  for (int i = 0; i < N; i += kAtOnce) {
    const Pack<float, kAtOnce> pack = load<kAtOnce>(at + i);
    for (int j = 0; j < kAtOnce; ++j) angles[i + j] = pack.v[j];
  }
}

// Block: a row; thread: N pairs of one head at a time.
template <typename T, int N>
__global__ void rotary_kernel(device::Rotary a) {
  const Index row = blockIdx.x;
  const Index half = a.head_dim / 2;
  const Index packs = half / N;
  for (Index item = threadIdx.x; item < a.heads * packs; item += blockDim.x) {
    const Index pair = item % packs * N;
    const Index column = item / packs * a.head_dim + pair;
    const T* from = static_cast<const T*>(a.from) + row * a.from_stride + column;
    const Pack<T, N> low = load<N>(from);
    const Pack<T, N> high = load<N>(from + half);
    float cosine[N];
    float sine[N];
    load_angles(a.cosine + row * half + pair, cosine);
    load_angles(a.sine + row * half + pair, sine);
    Pack<T, N> new_low;
    Pack<T, N> new_high;
    for (int i = 0; i < N; ++i) {
      const float c = cosine[i];
      const float s = a.back ? -sine[i] : sine[i];
      const float x = to_float(low.v[i]);
      const float y = to_float(high.v[i]);
      new_low.v[i] = from_float<T>(x * c - y * s);
      new_high.v[i] = from_float<T>(y * c + x * s);
    }
    T* to = static_cast<T*>(a.to) + row * a.to_stride + column;
    store(to, new_low);
    store(to + half, new_high);
  }
}

// splitmix64's finaliser and Philox 4x32-10, bit for bit those of core/kernels/dropout.cpp and core/base/random.hpp.
__device__ __forceinline__ std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

struct Words {
  std::uint32_t v[4];
};

__device__ __forceinline__ Words philox(Words c, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * c.v[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * c.v[2];
    c = {{static_cast<std::uint32_t>(product1 >> 32U) ^ c.v[1] ^ key0, static_cast<std::uint32_t>(product1),
          static_cast<std::uint32_t>(product0 >> 32U) ^ c.v[3] ^ key1, static_cast<std::uint32_t>(product0)}};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return c;
}

constexpr std::uint64_t kSitesPerStep = 4096;
constexpr std::uint32_t kPurposeDropout = 3;

// Block: 4*kThreads columns of one row; thread: the four columns of one Philox block.
template <typename T, bool kFits>
__global__ void dropout_kernel(device::Dropout a, Index parts) {
  const Index row = blockIdx.x / parts;
  const Index part = blockIdx.x % parts * kThreads + threadIdx.x;
  const Index column = part * 4;
  if (column >= a.width) return;
  int range = 0;
  while (row >= a.ranges.offsets[range + 1]) ++range;
  const std::uint64_t key = a.seed ^ mix(a.row_keys[row]);
  const std::uint64_t index = *a.step * kSitesPerStep + a.site;
  const auto counter = static_cast<std::uint64_t>(part);
  const Words words = philox(
      {{static_cast<std::uint32_t>(counter), (a.members[range] << 8U) | static_cast<std::uint32_t>(counter >> 32U),
        static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32U) | (kPurposeDropout << 16U)}},
      static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32U));
  const float keep = to_float(from_float<T>(a.keep));  // the mask has the type of x
  const Index at = row * a.width + column;
  const int count = kFits || a.width - column >= 4 ? 4 : static_cast<int>(a.width - column);
  Pack<T, 4> values;
  const T* x = static_cast<const T*>(a.x) + at;
  if (a.x != nullptr && kFits) values = load<4>(x);
  for (int i = 0; i < count; ++i) {
    const float uniform = static_cast<float>(words.v[i] >> 8U) * (1.0F / 16777216.0F);
    const float value = a.x == nullptr ? 1.0F : to_float(kFits ? values.v[i] : x[i]);
    values.v[i] = from_float<T>(uniform < a.threshold ? value * 0.0F : value * keep);
  }
  T* y = static_cast<T*>(a.y) + at;
  if (kFits) {
    store(y, values);
  } else {
    for (int i = 0; i < count; ++i) y[i] = values.v[i];
  }
}

template <typename T>
Error swiglu_of(const device::SwiGlu& a, bool forward, Stream stream) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  const bool wide = packs_fit<T>(a.gate_up, a.width, kWide) && packs_fit<T>(a.dy, a.width, kWide) &&
                    packs_fit<T>(a.y, a.width, kWide) && packs_fit<T>(a.d_gate_up, a.width, kWide);
  const Index parts = parts_of(a.width, Index{kThreads} * (wide ? kWide : 1));
  const dim3 grid(static_cast<unsigned>(a.rows * parts));
  const auto kernel = forward ? (wide ? swiglu_forward_kernel<T, kWide> : swiglu_forward_kernel<T, 1>)
                              : (wide ? swiglu_backward_kernel<T, kWide> : swiglu_backward_kernel<T, 1>);
  return launch(kernel, grid, dim3(kThreads), 0, stream, a, parts);
}

template <typename T>
Error rotary_of(const device::Rotary& a, Stream stream) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  const bool wide = a.head_dim / 2 % kWide == 0 && packs_fit<T>(a.from, a.from_stride, kWide) &&
                    packs_fit<T>(a.to, a.to_stride, kWide);
  const Index items = a.heads * (a.head_dim / 2) / (wide ? kWide : 1);
  const Index warps = parts_of(items, 32) < 8 ? parts_of(items, 32) : 8;
  return launch(wide ? rotary_kernel<T, kWide> : rotary_kernel<T, 1>, dim3(static_cast<unsigned>(a.rows)),
                dim3(static_cast<unsigned>(32 * warps)), 0, stream, a);
}

Error swiglu_forward(const device::SwiGlu& a, Stream stream) {
  return a.type == Type::bf16 ? swiglu_of<bf16>(a, true, stream) : swiglu_of<float>(a, true, stream);
}

Error swiglu_backward(const device::SwiGlu& a, Stream stream) {
  return a.type == Type::bf16 ? swiglu_of<bf16>(a, false, stream) : swiglu_of<float>(a, false, stream);
}

Error rotary(const device::Rotary& a, Stream stream) {
  return a.type == Type::bf16 ? rotary_of<bf16>(a, stream) : rotary_of<float>(a, stream);
}

template <typename T>
Error dropout_of(const device::Dropout& a, Stream stream) {
  const Index parts = parts_of(a.width, Index{kThreads} * 4);
  const bool fits = packs_fit<T>(a.x, a.width, 4) && packs_fit<T>(a.y, a.width, 4);
  return launch(fits ? dropout_kernel<T, true> : dropout_kernel<T, false>, dim3(static_cast<unsigned>(a.rows * parts)),
                dim3(kThreads), 0, stream, a, parts);
}

Error dropout(const device::Dropout& a, Stream stream) {
  return a.type == Type::bf16 ? dropout_of<bf16>(a, stream) : dropout_of<float>(a, stream);
}

}  // namespace

void add_elementwise(device::Kernels& kernels) {
  kernels.swiglu_forward = swiglu_forward;
  kernels.swiglu_backward = swiglu_backward;
  kernels.rotary = rotary;
  kernels.dropout = dropout;
}

}  // namespace chorale::CHORALE_KERNELS
