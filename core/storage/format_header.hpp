// The attributes every HDF5 file of ours starts with: what it is, in which version, and who wrote it.
#pragma once

#include <cstdint>
#include <string>

#include "core/storage/hdf5.hpp"

namespace chorale {

/// Sets `format`, `format_version` and `created_by` on a new file's root.
void write_format_header(hdf5::Group& root, const std::string& format, std::int64_t version);

/// InputError naming both formats, or both versions when the file's is newer than `newest`. An absent attribute passes:
/// whether other programs' files are welcome is the caller's to say.
void check_format_header(const hdf5::Group& root, const std::string& format, std::int64_t newest);

/// The attribute `format` of the HDF5 file at `path`; empty when it has none. InputError as hdf5::File::open.
[[nodiscard]] std::string format_of_file(const std::string& path);

}  // namespace chorale
