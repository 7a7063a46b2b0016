#include "core/storage/hdf5_check.hpp"

#include <fmt/format.h>

#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"

namespace chorale::hdf5 {
namespace {

herr_t collect(unsigned /*position*/, const H5E_error2_t* entry, void* into) {
  static_cast<std::vector<std::string>*>(into)->emplace_back(entry->desc == nullptr ? "" : entry->desc);
  return 0;
}

// What the call was about (outermost entry) and what went wrong (innermost one). The stack is emptied.
std::string library_reason() {
  std::vector<std::string> entries;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, collect, &entries);
  H5Eclear2(H5E_DEFAULT);
  if (entries.empty()) {
    return "no reason given by the HDF5 library";
  }
  const std::string inner = printable(entries.back(), 300);
  return entries.size() == 1 ? inner : fmt::format("{} ({})", printable(entries.front()), inner);
}

std::string remedy(Access access, const std::string& reason) {
  if (access == Access::read) {
    return "The file may be damaged, cut short or of another kind: copy or make it anew.";
  }
  if (reason.find("No space left") != std::string::npos) {
    return "Free some space or choose another output directory, then start again.";
  }
  return "Check that the directory exists, is writable and has space left.";
}

}  // namespace

void silence_library() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

void fail(const Place& place, const std::string& action) {
  const std::string reason = library_reason();
  const std::string message = fmt::format("{}: cannot {} {}: {}. {}", place.file, action, printable(place.object),
                                          reason, remedy(place.access, reason));
  if (place.access == Access::read) {
    throw InputError(message);
  }
  throw StorageError(message);
}

Handle::Handle(Handle&& other) noexcept : identifier_(other.release()) {}

Handle& Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    const Handle old(std::exchange(identifier_, other.release()));
  }
  return *this;
}

Handle::~Handle() {
  if (identifier_ >= 0 && H5Idec_ref(identifier_) < 0) {
    H5Eclear2(H5E_DEFAULT);
  }
}

std::int64_t Handle::release() {
  return std::exchange(identifier_, -1);
}

Handle string_type(std::size_t length, const Place& place) {
  Handle type = own(H5Tcopy(H5T_C_S1), place, "describe the text of");
  check(H5Tset_size(type.get(), length), place, "describe the text of");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), place, "describe the text of");
  if (length != H5T_VARIABLE) {
    check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), place, "describe the text of");
  }
  return type;
}

std::vector<const char*> pointers(std::span<const std::string> values) {
  std::vector<const char*> result;
  result.reserve(values.size());
  for (const std::string& value : values) {
    result.push_back(value.c_str());
  }
  return result;
}

}  // namespace chorale::hdf5
