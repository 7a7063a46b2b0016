#include "launch/commands/doctor_machine.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string>

#include "core/model/torch_version.hpp"

namespace chorale {
namespace {

using nlohmann::ordered_json;

constexpr std::uint64_t kLittleMemory = 2'000'000'000;  // the quick start takes 1.6 GB

// Where the shell would find a program; empty where it would not.
std::string found_on_path(const char* program) {
  const char* path = std::getenv("PATH");
  std::istringstream directories(path == nullptr ? "" : path);
  for (std::string directory; std::getline(directories, directory, ':');) {
    std::string candidate = directory + "/" + program;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

}  // namespace

ordered_json machine_facts() {
  const std::string mpirun = found_on_path("mpirun");
  return {{"torch_directory", loaded_torch_directory()},
          {"mpirun", mpirun.empty() ? ordered_json() : ordered_json(mpirun)}};
}

void judge_machine(const ordered_json& machine, std::uint64_t memory_bytes, ordered_json& warnings,
                   ordered_json& faults) {
  const std::string wrong =
      torch_mismatch(CHORALE_TORCH_VERSION, loaded_torch_version(), machine["torch_directory"].get<std::string>());
  if (!wrong.empty()) faults.push_back(wrong);
  if (memory_bytes > 0 && memory_bytes < kLittleMemory) {
    warnings.push_back(
        fmt::format("{:.1f} GB of memory are little: the quick start takes 1.6 GB. Use a smaller base, base.dtype: "
                    "bfloat16, or another machine.",
                    static_cast<double>(memory_bytes) * 1e-9));
  }
  if (machine["mpirun"].is_null()) {
    warnings.push_back(
        "there is no mpirun on the PATH, so runs here have one rank. Install openmpi-bin, or load your cluster's MPI.");
  }
}

}  // namespace chorale
