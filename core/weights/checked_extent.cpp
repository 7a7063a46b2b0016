#include "core/weights/checked_extent.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"

namespace chorale {

std::optional<Extent> checked_extent(const std::vector<std::uint64_t>& shape, BlockLayout layout) {
  Extent extent;
  std::int64_t elements = 1;
  for (const std::uint64_t size : shape) {
    // The builtin accepts mixed types: a size above int64's range overflows like any other.
    if (__builtin_mul_overflow(elements, size, &elements)) {
      return std::nullopt;
    }
    std::int64_t checked = 0;
    if (__builtin_add_overflow(size, 0, &checked)) {  // beside a zero dimension the product alone would not notice
      return std::nullopt;
    }
    extent.shape.push_back(checked);
  }
  const std::int64_t row = extent.shape.empty() ? 1 : extent.shape.back();
  std::int64_t bytes = 0;
  if (row % layout.elements != 0 || __builtin_mul_overflow(elements / layout.elements, layout.bytes, &bytes)) {
    return std::nullopt;
  }
  extent.bytes = static_cast<std::uint64_t>(bytes);
  return extent;
}

void sort_by_name(std::vector<TensorView>& tensors, const std::string& path) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  const auto twin = std::adjacent_find(tensors.begin(), tensors.end(),
                                       [](const TensorView& a, const TensorView& b) { return a.name == b.name; });
  if (twin != tensors.end()) {
    throw InputError(
        fmt::format("{}: two tensors are called '{}'. Convert the model again.", path, printable(twin->name)));
  }
}

}  // namespace chorale
