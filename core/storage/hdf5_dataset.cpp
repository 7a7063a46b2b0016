#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/storage/hdf5_check.hpp"

namespace chorale::hdf5 {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{512} << 10U;

// Whole rows up to kChunkBytes: the last axes first.
std::vector<hsize_t> chunk_shape(const std::vector<std::size_t>& shape, std::size_t element_bytes) {
  std::vector<hsize_t> chunk(shape.size(), 1);
  std::size_t budget = std::max<std::size_t>(1, kChunkBytes / element_bytes);
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    chunk[axis] = std::clamp<std::size_t>(shape[axis], 1, budget);
    budget /= chunk[axis];
    budget = std::max<std::size_t>(1, budget);
  }
  return chunk;
}

Handle creation_properties(const std::vector<std::size_t>& shape, std::size_t element_bytes, bool checksums,
                           const Place& place) {
  Handle properties = own(H5Pcreate(H5P_DATASET_CREATE), place, "describe");
  if (!shape.empty()) {
    const std::vector<hsize_t> chunk = chunk_shape(shape, element_bytes);
    check(H5Pset_chunk(properties.get(), static_cast<int>(chunk.size()), chunk.data()), place, "divide");
    if (checksums) {
      check(H5Pset_fletcher32(properties.get()), place, "add checksums to");
    }
  }
  check(H5Pset_obj_track_times(properties.get(), false), place, "describe");  // equal data, equal bytes
  return properties;
}

Handle create(const Handle& group, const std::string& name, hid_t type, const std::vector<std::size_t>& shape,
              std::size_t element_bytes, const Place& place) {
  const std::vector<hsize_t> extent(shape.begin(), shape.end());
  const Handle space =
      own(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), place, "describe");
  // The library cannot put checksums on variable-length text.
  const bool checksums = check(H5Tdetect_class(type, H5T_STRING), place, "describe") == 0 ||
                         check(H5Tis_variable_str(type), place, "describe") == 0;
  const Handle properties = creation_properties(shape, element_bytes, checksums, place);
  return own(H5Dcreate2(group.get(), name.c_str(), type, space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
             place, "create");
}

// Data that lie in another file are not this file's to give.
void refuse_foreign_storage(const Handle& dataset, const Place& place) {
  const Handle properties = own(H5Dget_create_plist(dataset.get()), place, "open");
  if (H5Pget_layout(properties.get()) == H5D_VIRTUAL || H5Pget_external_count(properties.get()) != 0) {
    throw InputError(fmt::format("{}: {} keeps its data in other files. Copy them into one file first (h5repack).",
                                 place.file, printable(place.object)));
  }
}

}  // namespace

Dataset::Dataset(Handle handle, Place place, std::uint64_t file_bytes)
    : Object(std::move(handle), std::move(place)), file_bytes_(file_bytes) {
  const Handle space = own(H5Dget_space(handle_.get()), place_, "open");
  const int axes = check(H5Sget_simple_extent_ndims(space.get()), place_, "read the shape of");
  std::vector<hsize_t> extent(static_cast<std::size_t>(axes));
  check(H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr), place_, "read the shape of");
  elements_ = H5Sget_simple_extent_type(space.get()) == H5S_NULL ? 0 : 1;
  for (const hsize_t length : extent) {
    if (length != 0 && elements_ > std::numeric_limits<std::size_t>::max() / length) {
      throw InputError(
          fmt::format("{}: {} claims more elements than can be counted. The file is damaged: make it anew.",
                      place_.file, printable(place_.object)));
    }
    elements_ *= length;
    shape_.push_back(length);
  }
  if (place_.access == Access::read) {
    refuse_foreign_storage(handle_, place_);
  }
}

void Dataset::check_claim(std::size_t element_bytes) const {
  // No filter of the library packs better than about 1 : 1000, so a data set much larger than its file is a claim.
  const std::uint64_t limit = (file_bytes_ + 1024) * 1100;
  if (elements_ > limit / element_bytes) {
    throw InputError(fmt::format("{}: {} claims {} elements in a file of {} bytes. The file is damaged: make it anew.",
                                 place_.file, printable(place_.object), elements_, file_bytes_));
  }
}

template <typename T>
std::vector<T> Dataset::read() const {
  const Handle type = own(H5Dget_type(handle_.get()), place_, "read the type of");
  constexpr bool wants_reals = std::is_floating_point_v<T>;
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind != (wants_reals ? H5T_FLOAT : H5T_INTEGER)) {
    throw InputError(fmt::format("{}: {} must hold {} numbers. Write it with another type.", place_.file,
                                 printable(place_.object), wants_reals ? "floating-point" : "whole"));
  }
  check_claim(std::max(sizeof(T), H5Tget_size(type.get())));
  std::vector<T> values(elements_);
  check(H5Dread(handle_.get(), native_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), place_, "read");
  return values;
}

std::vector<std::string> Dataset::read_strings() const {
  const Handle type = own(H5Dget_type(handle_.get()), place_, "read the type of");
  if (H5Tget_class(type.get()) != H5T_STRING || shape_.size() != 1) {
    throw InputError(fmt::format("{}: {} must be a list of strings. Write it with another type.", place_.file,
                                 printable(place_.object)));
  }
  std::vector<std::string> values;
  if (check(H5Tis_variable_str(type.get()), place_, "read the type of") > 0) {
    check_claim(sizeof(char*));
    const Handle space = own(H5Dget_space(handle_.get()), place_, "read");
    std::vector<char*> texts(elements_, nullptr);
    check(H5Dread(handle_.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()), place_, "read");
    for (const char* text : texts) {
      values.emplace_back(text == nullptr ? "" : text);
    }
    check(H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, texts.data()), place_, "read");
    return values;
  }
  const std::size_t length = H5Tget_size(type.get());
  check_claim(length);
  std::string bytes(elements_ * length, '\0');
  check(H5Dread(handle_.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), place_, "read");
  for (std::size_t index = 0; index < elements_; ++index) {
    const std::string_view padded = std::string_view(bytes).substr(index * length, length);
    values.emplace_back(padded.substr(0, padded.find('\0')));
  }
  return values;
}

template <typename T>
Dataset Group::write(const std::string& name, std::span<const T> values, const std::vector<std::size_t>& shape) {
  Place place = child(name);
  Dataset dataset(create(handle_, name, native_type<T>(), shape, sizeof(T), place), place, 0);
  CHORALE_ASSERT(dataset.elements() == values.size(), "shape and values of '" + name + "' must agree");
  if (!values.empty()) {
    check(H5Dwrite(dataset.handle_.get(), native_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), place,
          "write");
  }
  return dataset;
}

Dataset Group::write_strings(const std::string& name, std::span<const std::string> values) {
  Place place = child(name);
  std::size_t longest = 1;
  std::size_t total = 0;
  for (const std::string& value : values) {
    longest = std::max(longest, value.size());
    total += value.size();
  }
  const bool fixed = longest * values.size() <= 4 * total + 65536;
  const Handle type = string_type(fixed ? longest : H5T_VARIABLE, place);
  Dataset dataset(create(handle_, name, type.get(), {values.size()}, fixed ? longest : sizeof(char*), place), place, 0);
  if (values.empty()) {
    return dataset;
  }
  if (fixed) {
    std::string bytes(longest * values.size(), '\0');
    for (std::size_t index = 0; index < values.size(); ++index) {
      bytes.replace(index * longest, values[index].size(), values[index]);
    }
    check(H5Dwrite(dataset.handle_.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), place, "write");
  } else {
    check(H5Dwrite(dataset.handle_.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers(values).data()), place,
          "write");
  }
  return dataset;
}

// The element types the project stores.
template std::vector<float> Dataset::read() const;
template std::vector<double> Dataset::read() const;
template std::vector<std::int32_t> Dataset::read() const;
template std::vector<std::int64_t> Dataset::read() const;
template std::vector<std::uint8_t> Dataset::read() const;
template Dataset Group::write(const std::string&, std::span<const float>, const std::vector<std::size_t>&);
template Dataset Group::write(const std::string&, std::span<const double>, const std::vector<std::size_t>&);
template Dataset Group::write(const std::string&, std::span<const std::int32_t>, const std::vector<std::size_t>&);
template Dataset Group::write(const std::string&, std::span<const std::int64_t>, const std::vector<std::size_t>&);
template Dataset Group::write(const std::string&, std::span<const std::uint8_t>, const std::vector<std::size_t>&);

}  // namespace chorale::hdf5
