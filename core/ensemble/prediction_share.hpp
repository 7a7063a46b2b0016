// Predictions in parts: what one rank computed, on its way to where all parts become one array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace chorale {

/// Some members' values for consecutive cells of a set. A cell is an example (multiple choice, `width` choices) or an
/// answer token (completion, width 1).
struct PredictionShare {
  std::vector<std::uint32_t> members;  // global numbers
  std::size_t first = 0;               // cell
  std::size_t count = 0;               // cells
  std::size_t width = 1;               // values per cell
  std::vector<float> values;           // [members, count, width]

  bool operator==(const PredictionShare&) const = default;
};

/// Consecutive positions [begin, end).
struct IndexRange {
  std::size_t begin = 0;
  std::size_t end = 0;

  [[nodiscard]] std::size_t size() const { return end - begin; }
};

/// The part of `count` things that rank `rank` of `ranks` takes: consecutive, sizes differing by at most one.
[[nodiscard]] IndexRange share_of(std::size_t count, std::int64_t rank, std::int64_t ranks);

/// As bytes for a message, in this machine's byte order, and back. unpack throws InternalError when the bytes are no
/// packed share.
[[nodiscard]] std::vector<std::byte> pack(const PredictionShare& share);
[[nodiscard]] PredictionShare unpack(std::span<const std::byte> bytes);

/// All parts as one array [members, cells, width], members in the order of `members`. InternalError naming member and
/// cell when one is missing or there twice, or when a part is not of this array. Nothing is ever added up, so the
/// result does not depend on how the cells were shared or in which order the parts come.
[[nodiscard]] std::vector<float> assemble(std::span<const PredictionShare> shares,
                                          std::span<const std::uint32_t> members, std::size_t cells, std::size_t width);

}  // namespace chorale
