#include "core/weights/tensor_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"

namespace chorale {

std::string_view storage_type_name(StorageType type) {
  constexpr std::array<std::string_view, 7> names{"F64", "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0"};
  return names.at(static_cast<std::size_t>(type));
}

std::int64_t TensorView::element_count() const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    count *= size;  // readers have checked that this does not overflow
  }
  return count;
}

const TensorView* TensorSource::find(std::string_view name) const {
  const auto& all = tensors();
  const auto found = std::lower_bound(all.begin(), all.end(), name,
                                      [](const TensorView& tensor, std::string_view key) { return tensor.name < key; });
  return found != all.end() && found->name == name ? &*found : nullptr;
}

const TensorView& TensorSource::at(std::string_view name) const {
  if (const TensorView* tensor = find(name)) {
    return *tensor;
  }
  std::vector<std::string_view> names;
  names.reserve(tensors().size());
  for (const TensorView& tensor : tensors()) {
    names.push_back(tensor.name);
  }
  throw InputError(fmt::format("{}: has no tensor '{}'.{} `chorale inspect` lists all of them.", path(),
                               printable(name), did_you_mean(name, std::span<const std::string_view>(names))));
}

}  // namespace chorale
