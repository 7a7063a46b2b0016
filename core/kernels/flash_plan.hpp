// An AttentionPlan as flash attention takes it: sequences of consecutive queries with keys of their own, and for spans
// that share what came before them the same again, once per generation of ancestors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/kernels/attention.hpp"
#include "core/kernels/flash_attention.hpp"

namespace chorale {

/// Queries and the rows of their spans' n-th ancestor, for one n. All queries and all rows take part, so that batches
/// of equally many are the same work; those of no use stand last, the queries in a sequence without keys, the keys in
/// none.
struct FlashBranch {
  FlashSequences sequences;  // not causal; one per ancestor
  at::Tensor query_order;    // [queries] int64: the query at each place
  at::Tensor query_place;    // [queries] int64: the place of each query
  at::Tensor asks;           // [queries] bool: queries that have such an ancestor
  at::Tensor key_order;      // [rows] int64: the row at each place
  at::Tensor key_place;      // [rows] int64: the place of each row
  at::Tensor asked;          // [rows] bool: rows of such ancestors
};

/// Index tensors on a device. Every stream has a last sequence for its padding, perhaps empty, so that batches of
/// equally many sequences are the same work.
struct FlashPlan {
  at::Tensor query_index;  // [queries] int64: the rows that ask
  at::Tensor real;         // [queries] bool: those that are no padding

  bool possible = false;     // false: some sequence asks at positions with gaps between them. Else:
  FlashSequences sequences;  // causal: queries and the rows of their own spans
  bool padded = false;       // some queries are padding
  at::Tensor
      key_rows;  // [rows] int64: the rows as keys of `sequences` in order, unused ones last; undefined: as they lie
  at::Tensor unused;                    // [rows] bool, with key_rows: rows nobody looks at in `sequences`
  at::Tensor query_cosine, query_sine;  // of the rows that ask; the plan's own when every row does
  std::vector<FlashBranch> branches;    // parents, grandparents, ...

  /// Every tensor, in a fixed order.
  [[nodiscard]] std::vector<at::Tensor> tensors() const;
};

/// Made once per plan, from host data alone, and kept with it.
[[nodiscard]] const FlashPlan& flash_plan_of(const AttentionPlan& plan, c10::Device device);

/// What besides its tensors' shapes tells one FlashPlan's work from another's.
[[nodiscard]] std::vector<std::int64_t> flash_shape_of(const AttentionPlan& plan);

}  // namespace chorale
