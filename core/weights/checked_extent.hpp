// Shapes from files, multiplied out without trusting them; shared by the readers of all containers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/weights/decode.hpp"
#include "core/weights/tensor_source.hpp"

namespace chorale {

struct Extent {
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
};

/// The bytes a tensor of this shape (row-major) takes; nothing when a size or the product leaves int64, or when a row
/// is not made of whole blocks.
[[nodiscard]] std::optional<Extent> checked_extent(const std::vector<std::uint64_t>& shape, BlockLayout layout);

/// Sorts by name; InputError naming `path` when two tensors have the same name.
void sort_by_name(std::vector<TensorView>& tensors, const std::string& path);

}  // namespace chorale
