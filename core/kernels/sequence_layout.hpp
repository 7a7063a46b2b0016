// How token sequences lie in the rows of a hidden state, and who may look at whom.
#pragma once

#include <cstdint>
#include <vector>

namespace chorale {

/// A run of consecutive tokens. Its rows attend to all rows of its ancestors and, causally, to its own. A plain
/// sequence is one span without a parent; options behind a shared prompt are spans whose parent is the prompt's span; a
/// prefix common to every example is the parent of all of them and is computed once.
struct Span {
  std::int64_t begin = 0;           // first row
  std::int64_t end = 0;             // one past the last row
  std::int64_t parent = -1;         // index of a span of the same stream that lies before this one, or -1
  std::int64_t first_position = 0;  // position of the first row in its sequence: the ancestors' token count
};

/// Rows of all streams, one stream (member) after the other, without padding between sequences. Rows outside every span
/// are padding: they attend to nothing and nothing attends to them.
struct SequenceLayout {
  std::vector<std::int64_t> stream_offsets = {0};       // [streams + 1] rows
  std::vector<Span> spans;                              // by stream, parents before children
  std::vector<std::int64_t> stream_span_offsets = {0};  // [streams + 1] into spans

  [[nodiscard]] std::int64_t streams() const { return static_cast<std::int64_t>(stream_offsets.size()) - 1; }
  [[nodiscard]] std::int64_t rows() const { return stream_offsets.back(); }
};

}  // namespace chorale
