// How attention over packed spans falls into small products: trees of spans, blocks of queries, ranges of keys.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "core/base/errors.hpp"
#include "core/kernels/attention.hpp"

namespace chorale {

constexpr std::int64_t kQueryBlock = 16;  // queries at a time

/// Spans a query may see: its ancestors and its own. Depth is small (common prefix, prompt, option).
constexpr std::int64_t kMaximumDepth = 8;

/// A span's rows and columns among those of its tree. Columns are the places of keys in a score row; every span's begin
/// at a multiple of a panel.
struct SpanPlace {
  std::int64_t first_row = 0;
  std::int64_t column = 0;
  std::int64_t rows = 0;
};

/// Consecutive spans that see nothing outside themselves: a sequence, or a prompt with its options.
struct SpanTree {
  std::int64_t first_span = 0;
  std::int64_t end_span = 0;
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t first_query = 0;
  std::int64_t end_query = 0;
};

/// A block's keys in one span, and where their scores stand in the block's score rows.
struct KeyRange {
  SpanPlace place;
  std::int64_t score = 0;
  std::int64_t width = 0;  // columns computed: whole panels
};

/// Consecutive queries of one span, and the spans they see; the first range is their own.
struct QueryBlock {
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::array<KeyRange, kMaximumDepth> ranges;
  std::int64_t range_count = 0;
  std::int64_t width = 0;                             // of a score row
  std::array<std::int64_t, kQueryBlock> own_visible;  // keys of its own span that a query sees

  /// Keys of a range that a query sees.
  [[nodiscard]] std::int64_t visible(std::int64_t range, std::int64_t query) const {
    return range == 0 ? own_visible[static_cast<std::size_t>(query)]
                      : ranges[static_cast<std::size_t>(range)].place.rows;
  }
};

/// All trees of a plan, the places of their spans, and what a task needs room for at most.
struct SpanTrees {
  std::vector<SpanTree> trees;
  std::vector<SpanPlace> places;  // of every span
  std::int64_t panel = 0;
  std::int64_t rows = 0;     // of the largest tree
  std::int64_t columns = 0;  // of the widest tree
  std::int64_t seen = 0;     // columns that the queries of one span see at most

  SpanTrees(const AttentionPlan& plan, std::int64_t panel);

  /// The block that starts with query `query` of `tree`; without ranges when the query is padding.
  [[nodiscard]] QueryBlock block_at(const AttentionPlan& plan, const SpanTree& tree, std::int64_t query) const;
};

}  // namespace chorale
