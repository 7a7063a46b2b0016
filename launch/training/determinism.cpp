#include "launch/training/determinism.hpp"

#include <ATen/Context.h>
#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "core/base/printable.hpp"

namespace chorale {
namespace {

struct Variable {
  const char* name;
  const char* value;
};

// cuBLAS: https://docs.nvidia.com/cuda/cublas/#results-reproducibility. NCCL: which sums its tree or its ring forms,
// and in which order, follows from algorithm and protocol; sums inside the switch (NVLS) may differ from call to call.
constexpr std::array<Variable, 4> kVariables = {{{"CUBLAS_WORKSPACE_CONFIG", ":4096:8"},
                                                 {"NCCL_ALGO", "Ring"},
                                                 {"NCCL_PROTO", "Simple"},
                                                 {"NCCL_NVLS_ENABLE", "0"}}};

std::string set(const Variable& variable) {
  const char* before = std::getenv(variable.name);
  const std::string found = before == nullptr ? "" : before;
  setenv(variable.name, variable.value, 1);
  const std::string line = fmt::format("{}={}", variable.name, variable.value);
  return found.empty() || found == variable.value
             ? line
             : fmt::format("{} (the environment has {}; the recipe counts)", line, printable(found, 60));
}

}  // namespace

std::vector<std::string> settle_determinism(const DistributedConfig& distributed) {
  std::vector<std::string> lines;
  if (distributed.deterministic) {
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    // Tensors that are written before they are read need no filling, and all of ours are.
    at::globalContext().setDeterministicFillUninitializedMemory(false);
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
    for (const Variable& variable : kVariables) lines.push_back("deterministic: " + set(variable));
    return lines;
  }
  for (const Variable& variable : kVariables) {
    if (const char* value = std::getenv(variable.name); value != nullptr) {
      lines.push_back(
          fmt::format("{}={} comes from the environment, not from the recipe", variable.name, printable(value, 60)));
    }
  }
  return lines;
}

}  // namespace chorale
