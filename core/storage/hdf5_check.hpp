// Inside this folder: how a negative return of the HDF5 library becomes an exception.
#pragma once

#include <hdf5.h>

#include <string>

#include "core/storage/hdf5.hpp"

namespace chorale::hdf5 {

static_assert(sizeof(hid_t) == sizeof(std::int64_t), "identifiers are 64 bits wide");

/// Stops the library's own printing to standard error, in this thread. Called wherever a file is opened.
void silence_library();

/// Throws InputError or StorageError, as the place's access says: "FILE: cannot <action> <object>: <library's reason>".
[[noreturn]] void fail(const Place& place, const std::string& action);

/// `value`, unless it is negative: then fails.
template <typename Value>
Value check(Value value, const Place& place, const std::string& action) {
  if (value < 0) {
    fail(place, action);
  }
  return value;
}

/// An owner of what `identifier` names; fails when it is negative.
inline Handle own(hid_t identifier, const Place& place, const std::string& action) {
  return Handle(check(identifier, place, action));
}

/// The library's in-memory type of T.
template <typename T>
hid_t native_type();
template <>
inline hid_t native_type<float>() {
  return H5T_NATIVE_FLOAT;
}
template <>
inline hid_t native_type<double>() {
  return H5T_NATIVE_DOUBLE;
}
template <>
inline hid_t native_type<std::int32_t>() {
  return H5T_NATIVE_INT32;
}
template <>
inline hid_t native_type<std::int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
inline hid_t native_type<std::uint8_t>() {
  return H5T_NATIVE_UINT8;
}

/// A UTF-8 string type: of `length` bytes, NUL-padded, or variable-length for H5T_VARIABLE.
[[nodiscard]] Handle string_type(std::size_t length, const Place& place);

/// Pointers into `values`, the form in which the library takes variable-length strings.
[[nodiscard]] std::vector<const char*> pointers(std::span<const std::string> values);

}  // namespace chorale::hdf5
