#include "core/kernels/panel_product.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

#include "core/base/errors.hpp"
#include "core/kernels/small_product.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kLanes = kPanel<float>;
constexpr std::int64_t kColumns = 3 * kLanes;      // of y at a time: a product's widest block
constexpr std::int64_t kDepth = 1024;              // of a sum at a time
constexpr std::int64_t kCacheFloats = 128 * 1024;  // half a second-level cache
constexpr std::int64_t kMostRows = 256;
constexpr std::int64_t kFewestRows = 32;  // with fewer, reading P costs more than multiplying by it

std::int64_t whole(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// How rows and columns are cut into tasks of equal size.
struct Tasks {
  std::int64_t row_step = 0, row_tasks = 0;
  std::int64_t column_step = 0, column_tasks = 0;

  Tasks(std::int64_t rows, std::int64_t depth, std::int64_t width, std::int64_t threads) {
    const std::int64_t fitting = std::clamp(kCacheFloats / std::min(depth, kDepth) / 8 * 8, kFewestRows, kMostRows);
    const std::int64_t rounds = (rows + fitting * threads - 1) / (fitting * threads);
    row_step = std::max(kFewestRows, whole((rows + rounds * threads - 1) / (rounds * threads), 8));
    row_tasks = (rows + row_step - 1) / row_step;
    const std::int64_t shares = row_tasks % threads == 0 ? 1 : threads;
    column_step = whole((width + shares - 1) / shares, kColumns);
    column_tasks = (width + column_step - 1) / column_step;
  }
};

// Every member's small matrix [depth, rank columns], rows contiguous: what a down multiplies x by.
struct DownFactor {
  at::Tensor m;  // [members, width, rank]
  const LowRankDown* down = nullptr;
};

// Every member's small matrix in panels that lie on the panels of y: what an up multiplies u by.
struct UpFactor {
  at::Tensor panels;  // [members, panels, rank, lanes], zero outside the columns
  std::int64_t begin = 0;
  std::int64_t end = 0;  // columns of y, whole panels
  const LowRankUp* up = nullptr;
};

bool rank_last(const at::Tensor& m) {
  return m.stride(2) != 1 && m.stride(1) == 1;
}

DownFactor factor_of(const LowRankDown& down) {
  if (rank_last(down.m)) return {down.m.transpose(1, 2), &down};
  DownFactor factor{at::empty({down.m.size(0), down.m.size(2), down.m.size(1)}, down.m.options()), &down};
  at::parallel_for(0, down.m.size(0), 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t member = first; member < last; ++member) {
      transpose_rows(Rows<const float>{down.m.const_data_ptr<float>() + member * down.m.stride(0), down.m.stride(1)},
                     Rows<float>{factor.m.mutable_data_ptr<float>() + member * factor.m.stride(0), factor.m.stride(1)},
                     down.m.size(1), down.m.size(2));
    }
  });
  return factor;
}

// One member's columns [from, to) of m, to column `at` of a panel.
void lay_out(const at::Tensor& m, std::int64_t member, std::int64_t from, std::int64_t to, float* panel,
             std::int64_t at) {
  const float* source = m.const_data_ptr<float>() + member * m.stride(0) + from * m.stride(2);
  if (rank_last(m)) {
    transpose_rows(Rows<const float>{source, m.stride(2)}, Rows<float>{panel + at, kLanes}, to - from, m.size(1));
  } else if (to - from == kLanes) {  // a vector each, and no call
    for (std::int64_t r = 0; r < m.size(1); ++r) {
      std::memcpy(panel + r * kLanes, source + r * m.stride(1), kLanes * sizeof(float));
    }
  } else {
    for (std::int64_t r = 0; r < m.size(1); ++r) {
      std::copy_n(source + r * m.stride(1), to - from, panel + r * kLanes + at);
    }
  }
}

UpFactor factor_of(const LowRankUp& up) {
  UpFactor factor;
  const std::int64_t width = up.m.size(2);
  factor.begin = up.begin / kLanes * kLanes;
  factor.end = whole(up.begin + width, kLanes);
  factor.up = &up;
  const std::int64_t panels = (factor.end - factor.begin) / kLanes;
  const std::int64_t size = up.m.size(1) * kLanes;
  factor.panels = at::empty({up.m.size(0), panels, up.m.size(1), kLanes}, up.m.options());
  auto* out = factor.panels.mutable_data_ptr<float>();
  at::parallel_for(0, up.m.size(0), 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first * panels; i < last * panels; ++i) {
      const std::int64_t column = factor.begin + i % panels * kLanes - up.begin;  // of m, may lie outside it
      const std::int64_t from = std::max<std::int64_t>(0, column);
      const std::int64_t to = std::min(width, column + kLanes);
      if (to - from < kLanes) std::fill_n(out + i * size, size, 0.0F);
      lay_out(up.m, i / panels, from, to, out + i * size, from - column);
    }
  });
  return factor;
}

class Product {
 public:
  Product(const at::Tensor& x, const PanelMatrix& matrix, const at::Tensor& bias, LowRankPass* pass, at::Tensor& y)
      : matrix_(matrix),
        pass_(pass),
        x_{x.const_data_ptr<float>(), x.stride(0)},
        y_{y.mutable_data_ptr<float>(), y.stride(0)},
        bias_(bias.defined() ? bias.const_data_ptr<float>() : nullptr) {
    if (pass == nullptr) return;
    for (const LowRankDown& down : pass->downs) downs_.push_back(factor_of(down));
    for (const LowRankUp& up : pass->ups) ups_.push_back(factor_of(up));
    if (pass->u.defined()) u_ = {pass->u.mutable_data_ptr<float>(), pass->u.stride(0)};
  }

  void downs(std::int64_t row, std::int64_t end) const {
    for (const DownFactor& factor : downs_) {
      const LowRankDown& down = *factor.down;
      for_members(row, end, [&](std::int64_t member, std::int64_t first, std::int64_t count) {
        small_product(LeftFactor<float>{x_.row(first) + down.begin, x_.stride, 1},
                      RightFactor<float>{factor.m.const_data_ptr<float>() + member * factor.m.stride(0),
                                         factor.m.stride(1), kLanes},
                      Rows<float>{u_.row(first) + down.first, u_.stride}, count, factor.m.size(2), factor.m.size(1),
                      static_cast<float>(down.scale));
      });
    }
  }

  // Columns [column, last) of y: the product, and what the members add while it is in the cache.
  void columns(std::int64_t row, std::int64_t end, std::int64_t column, std::int64_t last) const {
    for (; column < last; column += kColumns) {
      const std::int64_t to = std::min(last, column + kColumns);
      frozen(row, end, column, to);
      for (const UpFactor& factor : ups_)
        add(factor, row, end, std::max(column, factor.begin), std::min(to, factor.end));
    }
  }

 private:
  void frozen(std::int64_t row, std::int64_t end, std::int64_t column, std::int64_t last) const {
    const Rows<float> out{y_.row(row) + column, y_.stride};
    for (std::int64_t i = row; bias_ != nullptr && i < end; ++i) {
      std::copy(bias_ + column, bias_ + last, y_.row(i) + column);
    }
    const float* panel = matrix_.panels.const_data_ptr<float>() + column * matrix_.depth;
    for (std::int64_t k = 0; k < matrix_.depth; k += kDepth) {
      small_product(LeftFactor<float>{x_.row(row) + k, x_.stride, 1},
                    RightFactor<float>{panel + k * kLanes, kLanes, kLanes * matrix_.depth}, out, end - row,
                    last - column, std::min(kDepth, matrix_.depth - k), 1.0F, /*add=*/k > 0 || bias_ != nullptr);
    }
  }

  void add(const UpFactor& factor, std::int64_t row, std::int64_t end, std::int64_t column, std::int64_t last) const {
    if (column >= last) return;
    const LowRankUp& up = *factor.up;
    const std::int64_t rank = up.m.size(1);
    for_members(row, end, [&](std::int64_t member, std::int64_t first, std::int64_t count) {
      const float* panel = factor.panels.const_data_ptr<float>() + member * factor.panels.stride(0);
      small_product_add(LeftFactor<float>{u_.row(first) + up.first, u_.stride, 1},
                        RightFactor<float>{panel + (column - factor.begin) * rank, kLanes, kLanes * rank},
                        Rows<float>{y_.row(first) + column, y_.stride}, count, last - column, rank,
                        static_cast<float>(up.scale));
    });
  }

  // Calls body(member, first row, rows) for the members' parts of rows [row, end).
  template <typename Body>
  void for_members(std::int64_t row, std::int64_t end, const Body& body) const {
    const RowOffsets& offsets = pass_->offsets;
    auto member = std::upper_bound(offsets.begin(), offsets.end(), row) - offsets.begin() - 1;
    while (row < end) {
      const std::int64_t to = std::min(end, offsets[static_cast<std::size_t>(member) + 1]);
      if (to > row) body(member, row, to - row);
      row = std::max(row, to);
      ++member;
    }
  }

  const PanelMatrix& matrix_;
  const LowRankPass* pass_;
  Rows<const float> x_;
  Rows<float> y_;
  Rows<float> u_;
  const float* bias_;
  std::vector<DownFactor> downs_;
  std::vector<UpFactor> ups_;
};

}  // namespace

at::Tensor panel_product(const at::Tensor& input, const PanelMatrix& matrix, const at::Tensor& bias,
                         LowRankPass* pass) {
  const at::Tensor x = input.contiguous();
  const std::int64_t rows = x.size(0);
  CHORALE_ASSERT(x.size(1) == matrix.depth, "a product's sides meet");
  CHORALE_ASSERT(pass == nullptr || pass->offsets.back() == rows, "every row belongs to a member");
  at::Tensor y = at::empty({rows, matrix.width}, x.options());
  if (rows == 0) return y;
  const Product product(x, matrix, bias, pass, y);
  const Tasks tasks(rows, matrix.depth, matrix.width, at::get_num_threads());
  // Tasks that share rows cannot start before these have gone down.
  const bool apart = tasks.column_tasks > 1 && pass != nullptr && !pass->downs.empty();
  if (apart) {
    at::parallel_for(0, (rows + kFewestRows - 1) / kFewestRows, 1, [&](std::int64_t begin, std::int64_t end) {
      product.downs(begin * kFewestRows, std::min(rows, end * kFewestRows));
    });
  }
  at::parallel_for(0, tasks.row_tasks * tasks.column_tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / tasks.column_tasks * tasks.row_step;
      const std::int64_t last_row = std::min(rows, row + tasks.row_step);
      const std::int64_t column = i % tasks.column_tasks * tasks.column_step;
      if (!apart) product.downs(row, last_row);
      product.columns(row, last_row, column, std::min(matrix.width, column + tasks.column_step));
    }
  });
  return y;
}

}  // namespace chorale
