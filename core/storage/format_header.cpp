#include "core/storage/format_header.hpp"

#include <fmt/format.h>

#include "core/base/errors.hpp"
#include "core/base/newer_format.hpp"
#include "core/base/printable.hpp"

namespace chorale {

void write_format_header(hdf5::Group& root, const std::string& format, std::int64_t version) {
  root.set_attribute("format", format);
  root.set_attribute("format_version", version);
  root.set_attribute("created_by", "chorale " CHORALE_VERSION);
}

void check_format_header(const hdf5::Group& root, const std::string& format, std::int64_t newest) {
  const std::string& file = root.place().file;
  if (root.has_attribute("format") && root.string_attribute("format") != format) {
    throw InputError(fmt::format("{}: is a file of format '{}', not '{}'. Give a file of that format.", file,
                                 printable(root.string_attribute("format").value_or("?")), format));
  }
  const std::int64_t version = root.integer_attribute("format_version").value_or(newest);
  if (version > newest) throw NewerFormatError(file, version, newest);
}

std::string format_of_file(const std::string& path) {
  return hdf5::File::open(path).root().string_attribute("format").value_or("");
}

}  // namespace chorale
