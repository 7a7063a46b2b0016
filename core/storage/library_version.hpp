// Which HDF5 library the program runs with.
#pragma once

#include <string>

namespace chorale::hdf5 {

/// "1.10.8"; "unknown" should the library not say.
[[nodiscard]] std::string library_version();

}  // namespace chorale::hdf5
