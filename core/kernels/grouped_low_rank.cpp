#include "core/kernels/grouped_low_rank.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/mm.h>

#include <algorithm>

#include "core/kernels/low_rank.hpp"

namespace chorale {
namespace {

bool fused(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble);
}

template <typename T>
Rows<const T> rows_of(const at::Tensor& tensor, std::int64_t row, std::int64_t column) {
  return {tensor.const_data_ptr<T>() + row * tensor.stride(0) + column, tensor.stride(0)};
}

template <typename T>
Rows<T> mutable_rows_of(const at::Tensor& tensor, std::int64_t row, std::int64_t column) {
  return {tensor.mutable_data_ptr<T>() + row * tensor.stride(0) + column, tensor.stride(0)};
}

template <typename T>
Rows<const T> matrix_of(const at::Tensor& m, std::int64_t member) {
  return {m.const_data_ptr<T>() + member * m.stride(0), m.stride(1)};
}

// Calls body(member, first row, rows) over pieces of the members' rows, shared out to the threads.
template <typename Body>
void for_pieces(const RowOffsets& offsets, const Body& body) {
  constexpr std::int64_t kPiece = 32;
  struct Piece {
    std::int64_t member, first, count;
  };
  std::vector<Piece> pieces;
  for (std::size_t m = 0; m + 1 < offsets.size(); ++m) {
    for (std::int64_t row = offsets[m]; row < offsets[m + 1]; row += kPiece) {
      pieces.push_back({static_cast<std::int64_t>(m), row, std::min(kPiece, offsets[m + 1] - row)});
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
  for_pieces(offsets, [&](std::int64_t member, std::int64_t row, std::int64_t count) {
    low_rank_down(rows_of<T>(x, row, begin), matrix_of<T>(m, member), mutable_rows_of<T>(u, row, first), count,
                  m.size(2), m.size(1), static_cast<T>(scale));
  });
}

template <typename T>
void up_on_cpu(const at::Tensor& u, std::int64_t first, const at::Tensor& m, at::Tensor& y, std::int64_t begin,
               const RowOffsets& offsets, double scale) {
  for_pieces(offsets, [&](std::int64_t member, std::int64_t row, std::int64_t count) {
    low_rank_up(rows_of<T>(u, row, first), matrix_of<T>(m, member), mutable_rows_of<T>(y, row, begin), count, m.size(2),
                m.size(1), static_cast<T>(scale));
  });
}

// Sums over rows: a thread takes columns of a member, so that every sum has one order whatever the thread count.
template <typename T>
void outer_on_cpu(const at::Tensor& u, std::int64_t first, const at::Tensor& x, std::int64_t begin, at::Tensor& g,
                  const RowOffsets& offsets, double scale) {
  constexpr std::int64_t kColumns = 256;
  const std::int64_t width = g.size(2);
  const std::int64_t parts = (width + kColumns - 1) / kColumns;
  at::parallel_for(0, g.size(0) * parts, 1, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t i = from; i < to; ++i) {
      const std::int64_t member = i / parts;
      const std::int64_t column = i % parts * kColumns;
      const std::int64_t row = offsets[static_cast<std::size_t>(member)];
      const std::int64_t count = offsets[static_cast<std::size_t>(member) + 1] - row;
      const Rows<T> out{g.mutable_data_ptr<T>() + member * g.stride(0) + column, g.stride(1)};
      low_rank_outer(rows_of<T>(u, row, first), rows_of<T>(x, row, begin + column), out, count,
                     std::min(kColumns, width - column), g.size(1), static_cast<T>(scale));
    }
  });
}

}  // namespace

void grouped_down(const at::Tensor& x, std::int64_t begin, const at::Tensor& m, at::Tensor& u, std::int64_t first,
                  const RowOffsets& offsets, double scale) {
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

void grouped_outer(const at::Tensor& u, std::int64_t first, const at::Tensor& x, std::int64_t begin, at::Tensor& g,
                   const RowOffsets& offsets, double scale) {
  if (fused(x)) {
    x.scalar_type() == at::kFloat ? outer_on_cpu<float>(u, first, x, begin, g, offsets, scale)
                                  : outer_on_cpu<double>(u, first, x, begin, g, offsets, scale);
    return;
  }
  g.zero_();
  for_members(offsets, [&](std::int64_t member, std::int64_t row, std::int64_t count) {
    const at::Tensor left = u.narrow(0, row, count).narrow(1, first, g.size(1));
    g[member].addmm_(left.t(), x.narrow(0, row, count).narrow(1, begin, g.size(2)), 0.0, scale);
  });
}

}  // namespace chorale
