// Low-rank products of all members in bfloat16 on tensor cores, sums in float32. Both are bound by the wide matrix: it
// is read (and, going up, written) once, whatever the rank. A block takes 64 rows of one member.
#include "core/kernels/cuda/device.cuh"
#include "core/kernels/cuda/kernels.hpp"

namespace chorale::CHORALE_KERNELS {
namespace {

using namespace nvcuda;

constexpr int kRows = 64;  // of a block: four warps of 16
constexpr int kThreads = 128;
constexpr int kRank = 64;    // largest rank taken at once; what is beyond is another pass over the wide matrix
constexpr int kDepth = 64;   // columns of X per round
constexpr int kPadded = 72;  // a row of a tile in shared memory: 8 elements beside, so that eight rows lie in 32 banks
constexpr int kSums = 68;    // likewise, in floats

// A matrix [rows, columns] that reads as zero outside. kFits: eight elements are one aligned access, and columns come
// in eights.
template <bool kFits>
struct Window {
  const bf16* data = nullptr;
  Index stride = 0, rows = 0, columns = 0;

  __device__ __forceinline__ Pack<bf16, 8> at(Index row, Index column) const {
    const bf16* from = data + row * stride + column;
    Pack<bf16, 8> result;
    if (kFits && row < rows && column < columns) return load<8>(from);
    for (int i = 0; i < 8; ++i) {
      result.v[i] = !kFits && row < rows && column + i < columns ? from[i] : from_float<bf16>(0.0F);
    }
    return result;
  }
};

// Copies a window's tile of `tile_rows` rows and 64 columns, by way of registers, so that loads of the next tile are
// under way while this one is multiplied.
template <int kTileRows>
struct Carrier {
  static constexpr int kPacks = kTileRows * kDepth / 8 / kThreads;
  Pack<bf16, 8> held[kPacks];

  template <bool kFits>
  __device__ __forceinline__ void fetch(const Window<kFits>& window, Index row, Index column, int tile_rows) {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int pack = static_cast<int>(threadIdx.x) + k * kThreads;
      if (pack / (kDepth / 8) < tile_rows)
        held[k] = window.at(row + pack / (kDepth / 8), column + pack % (kDepth / 8) * 8);
    }
  }
  __device__ __forceinline__ void put(bf16* tile, int tile_rows) const {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int pack = static_cast<int>(threadIdx.x) + k * kThreads;
      if (pack / (kDepth / 8) < tile_rows)
        store(tile + pack / (kDepth / 8) * kPadded + pack % (kDepth / 8) * 8, held[k]);
    }
  }
};

using Accumulator = wmma::fragment<wmma::accumulator, 16, 16, 16, float>;

struct Where {
  Index member, first, rows;  // rows of the member that this block takes
  bool empty;
};

// Block x of every member's row tiles.
__device__ __forceinline__ Where where_am_i(const device::RowRanges& ranges, Index tile, Index member) {
  const Index first = ranges.offsets[member] + tile * kRows;
  const Index left = ranges.offsets[member + 1] - first;
  return {member, first, left < kRows ? left : kRows, left <= 0};
}

// Grid: row tiles, members, rank blocks * splits of the width.
template <bool kFits>
__global__ void __launch_bounds__(kThreads, 4) down_kernel(device::LowRankDown a) {
  CHORALE_SHARED(bf16, x_tile);                   // [64][kPadded]
  bf16* const m_tile = x_tile + kRows * kPadded;  // [64][kPadded]: row r is row r of M
  const Where here = where_am_i(a.ranges, blockIdx.x, blockIdx.y);
  if (here.empty) return;
  const int split = static_cast<int>(blockIdx.z) % a.splits;
  const Index rank_begin = Index{static_cast<int>(blockIdx.z) / a.splits} * kRank;
  const int rank = static_cast<int>(a.rank - rank_begin < kRank ? a.rank - rank_begin : kRank);
  const int rank_tiles = (rank + 15) / 16;
  const auto* m = static_cast<const bf16*>(a.m) + here.member * a.m_member_stride + rank_begin * a.m_stride;
  const auto* x = static_cast<const bf16*>(a.x) + here.first * a.x_stride;
  const Window<kFits> rows{x, a.x_stride, here.rows, a.width};
  const Window<kFits> factor{m, a.m_stride, rank, a.width};
  const Index rounds = parts_of(a.width, kDepth);
  const Index begin = rounds * split / a.splits;
  const Index end = rounds * (split + 1) / a.splits;

  Accumulator sums[kRank / 16];
#pragma unroll
  for (int t = 0; t < kRank / 16; ++t) wmma::fill_fragment(sums[t], 0.0F);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  Carrier<kRows> next_x;
  Carrier<kRank> next_m;
  if (begin < end) {
    next_x.fetch(rows, 0, begin * kDepth, kRows);
    next_m.fetch(factor, 0, begin * kDepth, rank_tiles * 16);
  }
  for (Index round = begin; round < end; ++round) {
    next_x.put(x_tile, kRows);
    next_m.put(m_tile, rank_tiles * 16);
    __syncthreads();
    if (round + 1 < end) {
      next_x.fetch(rows, 0, (round + 1) * kDepth, kRows);
      next_m.fetch(factor, 0, (round + 1) * kDepth, rank_tiles * 16);
    }
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
      wmma::fragment<wmma::matrix_a, 16, 16, 16, bf16, wmma::row_major> left;
      wmma::load_matrix_sync(left, x_tile + warp * 16 * kPadded + k, kPadded);
#pragma unroll
      for (int t = 0; t < kRank / 16; ++t) {
        if (t >= rank_tiles) continue;
        wmma::fragment<wmma::matrix_b, 16, 16, 16, bf16, wmma::col_major> right;
        wmma::load_matrix_sync(right, m_tile + t * 16 * kPadded + k, kPadded);
        wmma::mma_sync(sums[t], left, right, sums[t]);
      }
    }
    __syncthreads();
  }
  // Through shared memory, 64 rows of floats in the place of the tiles, to where they belong.
  float* const result = reinterpret_cast<float*>(x_tile);
#pragma unroll
  for (int t = 0; t < kRank / 16; ++t) {
    if (t < rank_tiles)
      wmma::store_matrix_sync(result + warp * 16 * kSums + t * 16, sums[t], kSums, wmma::mem_row_major);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(here.rows) * rank; i += kThreads) {
    const Index row = here.first + i / rank;
    const float value = result[i / rank * kSums + i % rank];
    const Index column = rank_begin + i % rank;
    if (a.splits > 1) {
      a.partial[(split * a.ranges.offsets[a.ranges.members] + row) * a.rank + column] = value;
    } else {
      static_cast<bf16*>(a.u)[row * a.u_stride + column] = from_float<bf16>(a.scale * value);
    }
  }
}

// The splits' sums, in order.
__global__ void down_sum_kernel(device::LowRankDown a) {
  const Index count = a.ranges.offsets[a.ranges.members] * a.rank;
  const Index i = Index{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= count) return;
  float sum = 0.0F;
  for (int split = 0; split < a.splits; ++split) sum += a.partial[split * count + i];
  static_cast<bf16*>(a.u)[i / a.rank * a.u_stride + i % a.rank] = from_float<bf16>(a.scale * sum);
}

constexpr int kColumns = 64;  // of Y per block and round

// Grid: row tiles, members, column blocks. Each block holds its rows of U and walks over `kColumnRounds` column tiles.
constexpr int kColumnRounds = 4;

template <bool kFits>
__global__ void __launch_bounds__(kThreads, 4) up_kernel(device::LowRankUp a) {
  CHORALE_SHARED(bf16, u_tile);                                              // [64][kPadded]
  bf16* const m_tile = u_tile + kRows * kPadded;                             // [64 of rank][kPadded]
  float* const result = reinterpret_cast<float*>(m_tile + kRank * kPadded);  // [64][kSums]
  const Where here = where_am_i(a.ranges, blockIdx.x, blockIdx.y);
  if (here.empty) return;
  const auto* u = static_cast<const bf16*>(a.u) + here.first * a.u_stride;
  const auto* m = static_cast<const bf16*>(a.m) + here.member * a.m_member_stride;
  auto* y = static_cast<bf16*>(a.y) + here.first * a.y_stride;
  const Window<kFits> rows{u, a.u_stride, here.rows, a.rank};
  const Window<kFits> factor{m, a.m_stride, a.rank, a.width};
  const int warp = static_cast<int>(threadIdx.x) / 32;
  for (int round = 0; round < kColumnRounds; ++round) {
    const Index column = (Index{blockIdx.z} * kColumnRounds + round) * kColumns;
    if (column >= a.width) return;
    // What is added to is on its way while the product is made. A warp's packs of Y: its own 16 rows.
    const int lane = static_cast<int>(threadIdx.x) % 32;
    constexpr int kPacks = 16 * kColumns / 8 / 32;
    Pack<bf16, 8> before[kPacks];
#pragma unroll
    for (int i = 0; i < kPacks && kFits; ++i) {
      const Index row = warp * 16 + (lane + i * 32) / (kColumns / 8);
      const Index at = column + (lane + i * 32) % (kColumns / 8) * 8;
      if (row < here.rows && at < a.width) before[i] = load<8>(y + row * a.y_stride + at);
    }
    Accumulator sums[kColumns / 16];
#pragma unroll
    for (int t = 0; t < kColumns / 16; ++t) wmma::fill_fragment(sums[t], 0.0F);
    for (Index rank_begin = 0; rank_begin < a.rank; rank_begin += kRank) {
      const int rank = static_cast<int>(a.rank - rank_begin < kRank ? a.rank - rank_begin : kRank);
      const int rank_tiles = (rank + 15) / 16;
      const bool u_is_there = round > 0 && a.rank <= kRank;  // left by the round before
      Carrier<kRows> carrier;
      if (!u_is_there) {
        carrier.fetch(rows, 0, rank_begin, kRows);
        carrier.put(u_tile, kRows);
      }
      carrier.fetch(factor, rank_begin, column, rank_tiles * 16);
      carrier.put(m_tile, rank_tiles * 16);
      __syncthreads();
      for (int k = 0; k < rank_tiles * 16; k += 16) {
        wmma::fragment<wmma::matrix_a, 16, 16, 16, bf16, wmma::row_major> left;
        wmma::load_matrix_sync(left, u_tile + warp * 16 * kPadded + k, kPadded);
#pragma unroll
        for (int t = 0; t < kColumns / 16; ++t) {
          wmma::fragment<wmma::matrix_b, 16, 16, 16, bf16, wmma::row_major> right;
          wmma::load_matrix_sync(right, m_tile + k * kPadded + t * 16, kPadded);
          wmma::mma_sync(sums[t], left, right, sums[t]);
        }
      }
      __syncthreads();
    }
    // A warp's own 16 rows of the result, so that warps need not wait for each other.
    float* const mine = result + warp * 16 * kSums;
#pragma unroll
    for (int t = 0; t < kColumns / 16; ++t) {
      wmma::store_matrix_sync(mine + t * 16, sums[t], kSums, wmma::mem_row_major);
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const int pack = lane + i * 32;
      const Index row = warp * 16 + pack / (kColumns / 8);
      const Index at = column + pack % (kColumns / 8) * 8;
      if (row >= here.rows || at >= a.width) continue;
      const float* from = mine + pack / (kColumns / 8) * kSums + pack % (kColumns / 8) * 8;
      bf16* const to = y + row * a.y_stride + at;
      if (kFits) {
        Pack<bf16, 8> out;
        for (int j = 0; j < 8; ++j) out.v[j] = from_float<bf16>(to_float(before[i].v[j]) + a.scale * from[j]);
        store(to, out);
      } else {
        for (int j = 0; j < 8 && at + j < a.width; ++j) to[j] = from_float<bf16>(to_float(to[j]) + a.scale * from[j]);
      }
    }
  }
}

unsigned row_tiles(const device::RowRanges& ranges) {
  Index longest = 0;
  for (int m = 0; m < ranges.members; ++m) {
    const Index count = ranges.offsets[m + 1] - ranges.offsets[m];
    longest = count > longest ? count : longest;
  }
  return static_cast<unsigned>(parts_of(longest, kRows));
}

Error low_rank_down(const device::LowRankDown& a, Stream stream) {
  const dim3 grid(row_tiles(a.ranges), static_cast<unsigned>(a.ranges.members),
                  static_cast<unsigned>(parts_of(a.rank, kRank) * a.splits));
  constexpr std::size_t kShared = 2 * kRows * kPadded * sizeof(bf16);
  static_assert(kShared >= kRows * kSums * sizeof(float), "the sums take the place of the tiles");
  const bool fits = a.width % 8 == 0 && packs_fit<bf16>(a.x, a.x_stride, 8) && packs_fit<bf16>(a.m, a.m_stride, 8) &&
                    a.m_member_stride % 8 == 0;
  const Error error = launch(fits ? down_kernel<true> : down_kernel<false>, grid, dim3(kThreads), kShared, stream, a);
  if (error != nullptr || a.splits == 1) return error;
  const Index count = a.ranges.offsets[a.ranges.members] * a.rank;
  return launch(down_sum_kernel, dim3(static_cast<unsigned>(parts_of(count, kThreads))), dim3(kThreads), 0, stream, a);
}

Error low_rank_up(const device::LowRankUp& a, Stream stream) {
  const dim3 grid(row_tiles(a.ranges), static_cast<unsigned>(a.ranges.members),
                  static_cast<unsigned>(parts_of(a.width, kColumns * kColumnRounds)));
  constexpr std::size_t kShared = 2 * kRows * kPadded * sizeof(bf16) + kRows * kSums * sizeof(float);
  const bool fits = a.width % 8 == 0 && a.rank % 8 == 0 && packs_fit<bf16>(a.u, a.u_stride, 8) &&
                    packs_fit<bf16>(a.m, a.m_stride, 8) && a.m_member_stride % 8 == 0 &&
                    packs_fit<bf16>(a.y, a.y_stride, 8);
  return launch(fits ? up_kernel<true> : up_kernel<false>, grid, dim3(kThreads), kShared, stream, a);
}

}  // namespace

void add_low_rank(device::Kernels& kernels) {
  kernels.low_rank_down = low_rank_down;
  kernels.low_rank_up = low_rank_up;
}

}  // namespace chorale::CHORALE_KERNELS
