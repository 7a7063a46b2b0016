// The low-rank products that go with one frozen product: what they read, and where their results stand.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/kernels/grouped_low_rank.hpp"

namespace chorale {

/// u[:, first ..] = scale * x[:, begin ..] m^T of every member's rows. m: [members, rank, width].
struct LowRankDown {
  at::Tensor m;
  std::int64_t begin = 0;
  std::int64_t first = 0;
  double scale = 1.0;
};

/// y[:, begin ..] += scale * u[:, first ..] m of every member's rows. m: [members, rank, width].
struct LowRankUp {
  at::Tensor m;
  std::int64_t first = 0;
  std::int64_t begin = 0;
  double scale = 1.0;
};

/// What is computed beside y = x P: first the downs from x, then the ups into y. m as grouped_low_rank.hpp takes it.
struct LowRankPass {
  RowOffsets offsets;              // rows of each member: [members + 1]
  at::Tensor u;                    // [rows, ...], filled by the downs or before
  std::vector<LowRankDown> downs;  // may be none
  std::vector<LowRankUp> ups;      // may be none
};

/// Without a product of which it is part: the downs by themselves, and the ups.
void run_downs(const at::Tensor& x, LowRankPass& pass);
void run_ups(at::Tensor& y, const LowRankPass& pass);

}  // namespace chorale
