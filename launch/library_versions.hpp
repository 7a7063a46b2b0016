// Which libraries this program runs with.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace chorale {

/// {"chorale", "torch", "MPI", "NCCL" (where the program has it), "HDF5", "yaml-cpp"}: the versions that are loaded, of
/// torch and yaml-cpp those it was built with. Needs neither MPI nor a GPU.
[[nodiscard]] nlohmann::ordered_json library_versions();

/// The same in one line for a log: "chorale 0.1.0, torch 2.11.0, Open MPI v4.1.4, NCCL 2.28.9, HDF5 1.10.8, ...".
[[nodiscard]] std::string library_versions_text();

}  // namespace chorale
