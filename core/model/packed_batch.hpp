// Token sequences of all members, laid end to end: what one pass through the decoder works on.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/attention.hpp"
#include "core/kernels/sequence_layout.hpp"

namespace chorale {

/// Which member a row of an activation belongs to, and which token it stands for.
struct RowScope {
  std::vector<std::int64_t> stream_offsets = {0};  // [streams + 1]
  std::vector<std::uint64_t> row_keys;             // [rows] example and token, whatever the batch or the rank
  at::Tensor device_row_keys = {};                 // the same where kernels draw dropout masks, else undefined
};

/// Rows of all streams without padding between sequences, and the rows whose final hidden state somebody needs.
struct PackedBatch {
  SequenceLayout layout;
  std::vector<std::int32_t> tokens;                // [rows]
  std::vector<std::int64_t> positions;             // [rows] in the row's sequence
  std::vector<std::uint64_t> row_keys;             // [rows]
  std::vector<std::int64_t> output_rows;           // ascending inside a stream
  std::vector<std::int64_t> output_offsets = {0};  // [streams + 1] into output_rows

  /// Starts the next stream; every span and row added afterwards belongs to it.
  void end_stream();
  /// Appends a span of tokens after `parent` (an index add_span returned, of this stream, or -1); returns its index.
  /// row_keys become first_key, first_key + 1, ...
  std::int64_t add_span(const std::int32_t* begin, const std::int32_t* end, std::int64_t parent,
                        std::uint64_t first_key);
  /// Appends `count` rows that belong to no sequence. They cost time and change nothing: for callers that need equal
  /// row counts.
  void add_padding(std::int64_t count);
  /// Asks for the final hidden state of `row`; returns its index among the outputs.
  std::int64_t add_output(std::int64_t row);

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(tokens.size()); }
};

/// A batch made ready for a device: positions turned into rotations, plans for all rows and for the outputs alone.
struct PreparedBatch {
  AttentionPlanPtr all_rows;
  AttentionPlanPtr outputs_only;
  at::Tensor output_index;  // [outputs] int64
  RowScope rows;
  RowScope outputs;
};

}  // namespace chorale
