// Which build of the program this is.
#pragma once

#include <string>

namespace chorale {

/// The mark that the linker gave this very program file, in hexadecimal: two builds of the same version differ in it.
/// Empty when it was linked without one.
[[nodiscard]] std::string build_id();

}  // namespace chorale
