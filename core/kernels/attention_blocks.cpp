#include "core/kernels/attention_blocks.hpp"

#include <limits>

namespace chorale {
namespace {

std::int64_t whole_panels(std::int64_t count, std::int64_t panel) {
  return (count + panel - 1) / panel * panel;
}

// For every span, whether a tree begins with it: it has no parent, and nobody behind it has one before it.
std::vector<bool> tree_begins(const std::vector<Span>& spans) {
  std::vector<bool> begins(spans.size());
  std::int64_t lowest_parent = std::numeric_limits<std::int64_t>::max();
  for (std::size_t i = spans.size(); i-- > 0;) {
    if (spans[i].parent >= 0) lowest_parent = std::min(lowest_parent, spans[i].parent);
    begins[i] = spans[i].parent < 0 && lowest_parent >= static_cast<std::int64_t>(i);
  }
  return begins;
}

}  // namespace

SpanTrees::SpanTrees(const AttentionPlan& plan, std::int64_t width) : places(plan.layout.spans.size()), panel(width) {
  const std::vector<Span>& spans = plan.layout.spans;
  const std::vector<bool> begins = tree_begins(spans);
  std::vector<std::int64_t> visible(spans.size());
  std::vector<std::size_t> tree_of(spans.size());
  std::int64_t column = 0;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    const Span& span = spans[i];
    if (begins[i]) {
      const auto number = static_cast<std::int64_t>(i);
      trees.push_back({number, number, span.begin, 0, 0, 0});
      column = 0;
    }
    SpanTree& tree = trees.back();
    tree.end_span = static_cast<std::int64_t>(i) + 1;
    tree.rows = span.end - tree.first_row;
    tree_of[i] = trees.size() - 1;
    places[i] = {span.begin - tree.first_row, column, span.end - span.begin};
    const std::int64_t columns_here = whole_panels(span.end - span.begin, panel);
    column += columns_here;
    visible[i] = columns_here + (span.parent < 0 ? 0 : visible[static_cast<std::size_t>(span.parent)]);
    rows = std::max(rows, tree.rows);
    columns = std::max(columns, column);
    seen = std::max(seen, visible[i]);
  }
  for (std::size_t query = 0; query < plan.query_spans.size(); ++query) {
    if (plan.query_spans[query] < 0) continue;
    SpanTree& tree = trees[tree_of[static_cast<std::size_t>(plan.query_spans[query])]];
    if (tree.end_query == 0) tree.first_query = static_cast<std::int64_t>(query);
    tree.end_query = static_cast<std::int64_t>(query) + 1;
  }
}

QueryBlock SpanTrees::block_at(const AttentionPlan& plan, const SpanTree& tree, std::int64_t query) const {
  QueryBlock block;
  block.first = query;
  const std::int64_t span = plan.query_spans[static_cast<std::size_t>(query)];
  if (span < 0) {  // padding: nothing to see
    block.count = 1;
    return block;
  }
  const std::vector<Span>& spans = plan.layout.spans;
  const std::int64_t begin = spans[static_cast<std::size_t>(span)].begin;
  while (block.count < kQueryBlock && query + block.count < tree.end_query &&
         plan.query_spans[static_cast<std::size_t>(query + block.count)] == span) {
    const std::int64_t row = plan.query_rows[static_cast<std::size_t>(query + block.count)];
    block.own_visible[static_cast<std::size_t>(block.count++)] = row + 1 - begin;
  }
  for (std::int64_t at = span; at >= 0; at = spans[static_cast<std::size_t>(at)].parent) {
    CHORALE_ASSERT(block.range_count < kMaximumDepth, "spans nest too deeply");
    KeyRange& range = block.ranges[static_cast<std::size_t>(block.range_count++)];
    range.place = places[static_cast<std::size_t>(at)];
    if (at == span) range.place.rows = block.own_visible[static_cast<std::size_t>(block.count - 1)];
    range.score = block.width;
    range.width = whole_panels(range.place.rows, panel);
    block.width += range.width;
  }
  return block;
}

}  // namespace chorale
