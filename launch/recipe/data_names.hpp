// What a data set may be called.
#pragma once

#include <string>

namespace chorale {

/// What is wrong with `name`, which becomes an HDF5 group and a JSON key and stands in file names and tables; empty
/// when it will do.
[[nodiscard]] std::string data_set_name_problem(const std::string& name);

}  // namespace chorale
