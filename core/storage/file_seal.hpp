// A checksum behind the end of an HDF5 file. The library ignores what lies there, and older versions of it crash on
// files with damaged metadata; so damage to our own files is found before the library sees them.
#pragma once

#include <string>
#include <string_view>

namespace chorale {

/// The line to put behind `content`: a marker and the SHA-256 of everything before it.
[[nodiscard]] std::string seal_of(std::string_view content);

/// InputError when `path` ends with a seal that does not fit what is before it. A file without one (another program's,
/// or one that another program has changed: the library drops the seal then) passes.
void check_seal(const std::string& path);

}  // namespace chorale
