#include "core/kernels/grouped_low_rank.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>

#include "core/kernels/device_kernels.hpp"
#include "core/kernels/small_product.hpp"

namespace chorale {
namespace {

bool fused(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble);
}

// One member's small matrix with its long side last, [rank, width], or the transposed view of one with its rank last.
bool rank_last(const at::Tensor& m) {
  return m.stride(2) != 1 && m.stride(1) == 1;
}

template <typename T>
RightFactor<T> right_of(const at::Tensor& tensor, std::int64_t offset, std::int64_t row) {
  return {tensor.const_data_ptr<T>() + offset, row, kPanel<T>};
}

template <typename T>
Rows<T> mutable_rows_of(const at::Tensor& tensor, std::int64_t row, std::int64_t column) {
  return {tensor.mutable_data_ptr<T>() + row * tensor.stride(0) + column, tensor.stride(0)};
}

// The matrices of all members as the right factor of a product reads them: [depth, columns] each. `transposed` says
// that this is not how they lie; then they are copied, which costs a row's worth of the product that follows.
template <typename T>
at::Tensor laid_out(const at::Tensor& m, bool transposed) {
  if (!transposed) return rank_last(m) ? m.transpose(1, 2) : m;
  const at::Tensor from = rank_last(m) ? m.transpose(1, 2) : m;  // rows with unit stride
  at::Tensor copy = at::empty({m.size(0), from.size(2), from.size(1)}, m.options());
  at::parallel_for(0, m.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t member = begin; member < end; ++member) {
      transpose_rows(Rows<const T>{from.const_data_ptr<T>() + member * from.stride(0), from.stride(1)},
                     Rows<T>{copy.mutable_data_ptr<T>() + member * copy.stride(0), copy.stride(1)}, from.size(1),
                     from.size(2));
    }
  });
  return copy;
}

// Calls body(member, first row, rows) over pieces of the members' rows, shared out to the threads.
template <typename Body>
void for_pieces(const RowOffsets& offsets, const Body& body) {
  struct Piece {
    std::int64_t member, first, count;
  };
  const std::int64_t share = offsets.back() / (4 * static_cast<std::int64_t>(at::get_num_threads())) + 1;
  const std::int64_t size = std::clamp<std::int64_t>((share + 15) / 16 * 16, 16, 128);
  std::vector<Piece> pieces;
  for (std::size_t m = 0; m + 1 < offsets.size(); ++m) {
    for (std::int64_t row = offsets[m]; row < offsets[m + 1]; row += size) {
      pieces.push_back({static_cast<std::int64_t>(m), row, std::min(size, offsets[m + 1] - row)});
    }
  }
  at::parallel_for(0, static_cast<std::int64_t>(pieces.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Piece& piece = pieces[static_cast<std::size_t>(i)];
      body(piece.member, piece.first, piece.count);
    }
  });
}

template <typename Body>
void for_members(const RowOffsets& offsets, const Body& body) {
  for (std::size_t m = 0; m + 1 < offsets.size(); ++m) {
    if (offsets[m + 1] > offsets[m]) body(static_cast<std::int64_t>(m), offsets[m], offsets[m + 1] - offsets[m]);
  }
}

template <typename T>
void down_on_cpu(const at::Tensor& x, std::int64_t begin, const at::Tensor& m, at::Tensor& u, std::int64_t first,
                 const RowOffsets& offsets, double scale) {
  const at::Tensor right = laid_out<T>(m, !rank_last(m));  // [members, width, rank]
  for_pieces(offsets, [&](std::int64_t member, std::int64_t row, std::int64_t count) {
    const LeftFactor<T> left{x.const_data_ptr<T>() + row * x.stride(0) + begin, x.stride(0), 1};
    small_product(left, right_of<T>(right, member * right.stride(0), right.stride(1)),
                  mutable_rows_of<T>(u, row, first), count, m.size(1), m.size(2), static_cast<T>(scale));
  });
}

template <typename T>
void up_on_cpu(const at::Tensor& u, std::int64_t first, const at::Tensor& m, at::Tensor& y, std::int64_t begin,
               const RowOffsets& offsets, double scale) {
  const at::Tensor right = laid_out<T>(m, rank_last(m));  // [members, rank, width]
  for_pieces(offsets, [&](std::int64_t member, std::int64_t row, std::int64_t count) {
    const LeftFactor<T> left{u.const_data_ptr<T>() + row * u.stride(0) + first, u.stride(0), 1};
    small_product_add(left, right_of<T>(right, member * right.stride(0), right.stride(1)),
                      mutable_rows_of<T>(y, row, begin), count, m.size(2), m.size(1), static_cast<T>(scale));
  });
}

// Sums over rows: a thread takes a part of a member's long side, so that every sum has one order whatever the thread
// count.
template <typename T>
void outer_on_cpu(const at::Tensor& u, std::int64_t first, const at::Tensor& x, std::int64_t begin, at::Tensor& g,
                  const RowOffsets& offsets, double scale, bool add) {
  constexpr std::int64_t kPart = 192;  // a multiple of every width a product is computed in
  const std::int64_t width = g.size(2);
  const std::int64_t parts = (width + kPart - 1) / kPart;
  const std::int64_t rank = g.size(1);
  at::parallel_for(0, g.size(0) * parts, 1, [&](std::int64_t from, std::int64_t to) {
    std::vector<T> scratch(rank_last(g) ? static_cast<std::size_t>(rank * kPart) : 0);
    for (std::int64_t i = from; i < to; ++i) {
      const std::int64_t member = i / parts;
      const std::int64_t column = i % parts * kPart;
      const std::int64_t count = std::min(kPart, width - column);
      const std::int64_t row = offsets[static_cast<std::size_t>(member)];
      const std::int64_t rows = offsets[static_cast<std::size_t>(member) + 1] - row;
      T* out = g.mutable_data_ptr<T>() + member * g.stride(0) + column * g.stride(2);
      const T* small = u.const_data_ptr<T>() + row * u.stride(0) + first;
      const T* wide = x.const_data_ptr<T>() + row * x.stride(0) + begin + column;
      const LeftFactor<T> left{small, 1, u.stride(0)};
      const RightFactor<T> right = right_of<T>(x, wide - x.const_data_ptr<T>(), x.stride(0));
      if (!rank_last(g)) {
        small_product(left, right, Rows<T>{out, g.stride(1)}, rank, count, rows, static_cast<T>(scale), add);
        continue;
      }
      // Through a transposed block: sums over long rows in their own order go through the memory in the order it likes.
      const Rows<T> block{scratch.data(), kPart};
      if (add) transpose_rows(Rows<const T>{out, g.stride(2)}, block, count, rank);
      small_product(left, right, block, rank, count, rows, static_cast<T>(scale), add);
      transpose_rows(Rows<const T>{block.data, kPart}, Rows<T>{out, g.stride(2)}, rank, count);
    }
  });
}

// The CUDA kernels take bfloat16 and as many members as a launch carries row ranges for.
bool on_device(const at::Tensor& x, const RowOffsets& offsets) {
  return x.scalar_type() == at::kBFloat16 && x.stride(1) == 1 && offsets.size() <= device::RowRanges::kMaxMembers + 1 &&
         DeviceKernels(x);
}

device::RowRanges ranges_of(const RowOffsets& offsets) {
  device::RowRanges ranges;
  ranges.members = static_cast<int>(offsets.size()) - 1;
  std::copy(offsets.begin(), offsets.end(), std::begin(ranges.offsets));
  return ranges;
}

const void* address(const at::Tensor& tensor, std::int64_t column) {
  return tensor.const_data_ptr<at::BFloat16>() + column;
}

// Few rows do not fill a GPU: then several blocks share a row's width, and their sums are added in order.
int splits_of(const RowOffsets& offsets, std::int64_t width, std::int64_t rank) {
  constexpr std::int64_t kRows = 64, kBlocks = 528, kShortest = 256;  // 528: four on each of an H100's 132 processors
  std::int64_t blocks = 0;
  for (std::size_t m = 0; m + 1 < offsets.size(); ++m) blocks += (offsets[m + 1] - offsets[m] + kRows - 1) / kRows;
  blocks *= (rank + kRows - 1) / kRows;
  return static_cast<int>(std::clamp<std::int64_t>(kBlocks / std::max<std::int64_t>(1, blocks), 1,
                                                   std::max<std::int64_t>(1, width / kShortest)));
}

void down_on_device(const at::Tensor& x, std::int64_t begin, const at::Tensor& small, at::Tensor& u, std::int64_t first,
                    const RowOffsets& offsets, double scale) {
  const at::Tensor m = small.stride(2) == 1 ? small : small.contiguous();
  device::LowRankDown a;
  a.x = address(x, begin);
  a.m = m.const_data_ptr();
  a.u = u.mutable_data_ptr<at::BFloat16>() + first;
  a.ranges = ranges_of(offsets);
  a.width = m.size(2);
  a.rank = m.size(1);
  a.x_stride = x.stride(0);
  a.m_stride = m.stride(1);
  a.m_member_stride = m.stride(0);
  a.u_stride = u.stride(0);
  a.splits = splits_of(offsets, a.width, a.rank);
  a.scale = static_cast<float>(scale);
  at::Tensor partial;
  if (a.splits > 1) {
    partial = at::empty({a.splits, x.size(0), a.rank}, x.options().dtype(at::kFloat));
    a.partial = partial.mutable_data_ptr<float>();
  }
  DeviceKernels(x).run(&device::Kernels::low_rank_down, a);
}

void up_on_device(const at::Tensor& u, std::int64_t first, const at::Tensor& small, at::Tensor& y, std::int64_t begin,
                  const RowOffsets& offsets, double scale) {
  const at::Tensor m = small.stride(2) == 1 ? small : small.contiguous();
  device::LowRankUp a;
  a.u = address(u, first);
  a.m = m.const_data_ptr();
  a.y = y.mutable_data_ptr<at::BFloat16>() + begin;
  a.ranges = ranges_of(offsets);
  a.width = m.size(2);
  a.rank = m.size(1);
  a.u_stride = u.stride(0);
  a.m_stride = m.stride(1);
  a.m_member_stride = m.stride(0);
  a.y_stride = y.stride(0);
  a.scale = static_cast<float>(scale);
  DeviceKernels(y).run(&device::Kernels::low_rank_up, a);
}

// Rows per member when all have as many, else 0.
std::int64_t equal_rows(const RowOffsets& offsets) {
  const std::int64_t rows = offsets[1] - offsets[0];
  for (std::size_t m = 0; m + 1 < offsets.size(); ++m) {
    if (offsets[m + 1] - offsets[m] != rows) return 0;
  }
  return rows;
}

// Columns [begin, begin + count) of every member's rows: [members, rows, count].
at::Tensor by_member(const at::Tensor& x, std::int64_t begin, std::int64_t count, std::int64_t rows) {
  return x.unflatten(0, {x.size(0) / rows, rows}).narrow(2, begin, count);
}

}  // namespace

void grouped_down(const at::Tensor& x, std::int64_t begin, const at::Tensor& m, at::Tensor& u, std::int64_t first,
                  const RowOffsets& offsets, double scale) {
  if (on_device(x, offsets)) return down_on_device(x, begin, m, u, first, offsets, scale);
  if (fused(x)) {
    x.scalar_type() == at::kFloat ? down_on_cpu<float>(x, begin, m, u, first, offsets, scale)
                                  : down_on_cpu<double>(x, begin, m, u, first, offsets, scale);
    return;
  }
  for_members(offsets, [&](std::int64_t member, std::int64_t row, std::int64_t count) {
    const at::Tensor in = x.narrow(0, row, count).narrow(1, begin, m.size(2));
    u.narrow(0, row, count).narrow(1, first, m.size(1)).addmm_(in, m[member].t(), 0.0, scale);
  });
}

void grouped_up(const at::Tensor& u, std::int64_t first, const at::Tensor& m, at::Tensor& y, std::int64_t begin,
                const RowOffsets& offsets, double scale) {
  if (on_device(y, offsets)) return up_on_device(u, first, m, y, begin, offsets, scale);
  if (fused(y)) {
    y.scalar_type() == at::kFloat ? up_on_cpu<float>(u, first, m, y, begin, offsets, scale)
                                  : up_on_cpu<double>(u, first, m, y, begin, offsets, scale);
    return;
  }
  for_members(offsets, [&](std::int64_t member, std::int64_t row, std::int64_t count) {
    const at::Tensor in = u.narrow(0, row, count).narrow(1, first, m.size(1));
    y.narrow(0, row, count).narrow(1, begin, m.size(2)).addmm_(in, m[member], 1.0, scale);
  });
}

namespace {

void outer(const at::Tensor& u, std::int64_t first, const at::Tensor& x, std::int64_t begin, at::Tensor& g,
           const RowOffsets& offsets, double scale, bool add) {
  if (fused(x)) {
    x.scalar_type() == at::kFloat ? outer_on_cpu<float>(u, first, x, begin, g, offsets, scale, add)
                                  : outer_on_cpu<double>(u, first, x, begin, g, offsets, scale, add);
    return;
  }
  // A long sum over rows for a small result: cuBLAS splits it better than we would, in one batched product where
  // members have equally many rows.
  if (const std::int64_t rows = equal_rows(offsets); rows > 0) {
    g.baddbmm_(by_member(u, first, g.size(1), rows).transpose(1, 2), by_member(x, begin, g.size(2), rows),
               add ? 1.0 : 0.0, scale);
    return;
  }
  if (!add) g.zero_();
  for_members(offsets, [&](std::int64_t member, std::int64_t row, std::int64_t count) {
    const at::Tensor left = u.narrow(0, row, count).narrow(1, first, g.size(1));
    g[member].addmm_(left.t(), x.narrow(0, row, count).narrow(1, begin, g.size(2)), add ? 1.0 : 0.0, scale);
  });
}

}  // namespace

void grouped_outer(const at::Tensor& u, std::int64_t first, const at::Tensor& x, std::int64_t begin, at::Tensor& g,
                   const RowOffsets& offsets, double scale) {
  outer(u, first, x, begin, g, offsets, scale, false);
}

void grouped_outer_add(const at::Tensor& u, std::int64_t first, const at::Tensor& x, std::int64_t begin, at::Tensor& g,
                       const RowOffsets& offsets, double scale) {
  outer(u, first, x, begin, g, offsets, scale, true);
}

}  // namespace chorale
