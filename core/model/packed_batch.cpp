#include "core/model/packed_batch.hpp"

#include "core/base/errors.hpp"

namespace chorale {

void PackedBatch::end_stream() {
  layout.stream_offsets.push_back(rows());
  layout.stream_span_offsets.push_back(static_cast<std::int64_t>(layout.spans.size()));
  output_offsets.push_back(static_cast<std::int64_t>(output_rows.size()));
}

std::int64_t PackedBatch::add_span(const std::int32_t* begin, const std::int32_t* end, std::int64_t parent,
                                   std::uint64_t first_key) {
  Span span;
  span.begin = rows();
  span.end = span.begin + (end - begin);
  span.parent = parent;
  if (parent >= 0) {
    CHORALE_ASSERT(parent >= layout.stream_span_offsets.back(), "a span's parent lies in its own stream");
    const Span& before = layout.spans[static_cast<std::size_t>(parent)];
    span.first_position = before.first_position + before.end - before.begin;
  }
  tokens.insert(tokens.end(), begin, end);
  for (std::int64_t i = 0; i < span.end - span.begin; ++i) {
    positions.push_back(span.first_position + i);
    row_keys.push_back(first_key + static_cast<std::uint64_t>(i));
  }
  layout.spans.push_back(span);
  return static_cast<std::int64_t>(layout.spans.size()) - 1;
}

void PackedBatch::add_padding(std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    tokens.push_back(0);
    positions.push_back(0);
    row_keys.push_back(~std::uint64_t{0});
  }
}

std::int64_t PackedBatch::add_output(std::int64_t row) {
  CHORALE_ASSERT(row < rows() && (output_rows.empty() || output_rows.back() < row), "output rows are added in order");
  output_rows.push_back(row);
  return static_cast<std::int64_t>(output_rows.size()) - 1;
}

}  // namespace chorale
