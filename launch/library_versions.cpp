#include "launch/library_versions.hpp"

#include "core/storage/library_version.hpp"
#include "distributed/group_communicator.hpp"
#include "distributed/self_test.hpp"

namespace chorale {

nlohmann::ordered_json library_versions() {
  nlohmann::ordered_json versions = {
      {"chorale", CHORALE_VERSION}, {"torch", CHORALE_TORCH_VERSION}, {"MPI", mpi_library_version()}};
  if (const std::string nccl = nccl_version(); !nccl.empty()) versions["NCCL"] = nccl;
  versions["HDF5"] = hdf5::library_version();
  versions["yaml-cpp"] = CHORALE_YAML_VERSION;
  return versions;
}

std::string library_versions_text() {
  std::string text;
  const nlohmann::ordered_json versions = library_versions();
  for (const auto& [name, version] : versions.items()) {
    if (!text.empty()) text += ", ";
    if (name != "MPI") text += name + " ";  // an MPI says its name itself
    text += version.get<std::string>();
  }
  return text;
}

}  // namespace chorale
