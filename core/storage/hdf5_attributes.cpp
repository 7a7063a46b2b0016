#include <hdf5.h>

#include "core/storage/hdf5_check.hpp"

namespace chorale::hdf5 {
namespace {

void write_attribute(const Handle& object, const Place& place, const std::string& name, const Handle& space, hid_t type,
                     const void* values) {
  const std::string action = "write the attribute '" + name + "' of";
  const Handle attribute =
      own(H5Acreate2(object.get(), name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), place, action);
  check(H5Awrite(attribute.get(), type, values), place, action);
}

Handle scalar(const Place& place) {
  return own(H5Screate(H5S_SCALAR), place, "describe an attribute of");
}

// The attribute when it holds exactly one value of `kind`; else an empty handle.
Handle single_value(const Handle& object, const Place& place, const std::string& name, H5T_class_t kind) {
  const std::string action = "read the attribute '" + name + "' of";
  if (check(H5Aexists(object.get(), name.c_str()), place, action) == 0) {
    return {};
  }
  Handle attribute = own(H5Aopen(object.get(), name.c_str(), H5P_DEFAULT), place, action);
  const Handle type = own(H5Aget_type(attribute.get()), place, action);
  const Handle space = own(H5Aget_space(attribute.get()), place, action);
  const bool fits = H5Tget_class(type.get()) == kind && H5Sget_simple_extent_npoints(space.get()) == 1;
  return fits ? std::move(attribute) : Handle();
}

}  // namespace

void Object::set_attribute(const std::string& name, std::string_view value) {
  const std::string text(value);
  const char* pointer = text.c_str();
  const Handle type = string_type(H5T_VARIABLE, place_);
  write_attribute(handle_, place_, name, scalar(place_), type.get(), &pointer);
}

void Object::set_attribute(const std::string& name, const std::vector<std::string>& values) {
  const hsize_t count = values.size();
  const Handle space = own(H5Screate_simple(1, &count, nullptr), place_, "describe an attribute of");
  const Handle type = string_type(H5T_VARIABLE, place_);
  std::vector<const char*> texts = pointers(values);
  texts.push_back(nullptr);  // the library refuses a null buffer, also for no values
  write_attribute(handle_, place_, name, space, type.get(), texts.data());
}

void Object::set_attribute(const std::string& name, std::int64_t value) {
  write_attribute(handle_, place_, name, scalar(place_), native_type<std::int64_t>(), &value);
}

void Object::set_attribute(const std::string& name, double value) {
  write_attribute(handle_, place_, name, scalar(place_), native_type<double>(), &value);
}

bool Object::has_attribute(const std::string& name) const {
  return check(H5Aexists(handle_.get(), name.c_str()), place_, "look for the attribute '" + name + "' of") > 0;
}

std::optional<std::string> Object::string_attribute(const std::string& name) const {
  const Handle attribute = single_value(handle_, place_, name, H5T_STRING);
  if (attribute.get() < 0) {
    return std::nullopt;
  }
  const std::string action = "read the attribute '" + name + "' of";
  const Handle type = own(H5Aget_type(attribute.get()), place_, action);
  if (check(H5Tis_variable_str(type.get()), place_, action) > 0) {
    char* text = nullptr;
    check(H5Aread(attribute.get(), type.get(), &text), place_, action);
    const std::string value = text == nullptr ? "" : text;
    check(H5free_memory(text), place_, action);
    return value;
  }
  std::string value(H5Tget_size(type.get()), '\0');
  check(H5Aread(attribute.get(), type.get(), value.data()), place_, action);
  return value.substr(0, value.find('\0'));
}

std::optional<std::int64_t> Object::integer_attribute(const std::string& name) const {
  const Handle attribute = single_value(handle_, place_, name, H5T_INTEGER);
  if (attribute.get() < 0) {
    return std::nullopt;
  }
  std::int64_t value = 0;
  check(H5Aread(attribute.get(), native_type<std::int64_t>(), &value), place_, "read the attribute '" + name + "' of");
  return value;
}

std::optional<double> Object::real_attribute(const std::string& name) const {
  const Handle attribute = single_value(handle_, place_, name, H5T_FLOAT);
  if (attribute.get() < 0) {
    return std::nullopt;
  }
  double value = 0.0;
  check(H5Aread(attribute.get(), native_type<double>(), &value), place_, "read the attribute '" + name + "' of");
  return value;
}

std::optional<std::vector<std::string>> Object::strings_attribute(const std::string& name) const {
  constexpr hssize_t kMostValues = 1 << 20;  // far more than anything we list
  const std::string action = "read the attribute '" + name + "' of";
  if (!has_attribute(name)) {
    return std::nullopt;
  }
  const Handle attribute = own(H5Aopen(handle_.get(), name.c_str(), H5P_DEFAULT), place_, action);
  const Handle type = own(H5Aget_type(attribute.get()), place_, action);
  const Handle space = own(H5Aget_space(attribute.get()), place_, action);
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  if (H5Tget_class(type.get()) != H5T_STRING || check(H5Tis_variable_str(type.get()), place_, action) == 0 ||
      H5Sget_simple_extent_ndims(space.get()) != 1 || count < 0 || count > kMostValues) {
    return std::nullopt;
  }
  std::vector<char*> texts(static_cast<std::size_t>(count) + 1, nullptr);  // no null buffer here either
  check(H5Aread(attribute.get(), type.get(), texts.data()), place_, action);
  std::vector<std::string> values;
  for (std::size_t position = 0; position + 1 < texts.size(); ++position) {
    values.emplace_back(texts[position] == nullptr ? "" : texts[position]);
  }
  check(H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, texts.data()), place_, action);
  return values;
}

}  // namespace chorale::hdf5
