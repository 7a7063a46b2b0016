// What `chorale doctor` judges about this machine alone: libraries, memory, the way to start several ranks.
#pragma once

#include <nlohmann/json.hpp>

namespace chorale {

/// {"torch_directory", "mpirun": path or null}.
[[nodiscard]] nlohmann::ordered_json machine_facts();

/// Adds to `warnings` what will stand in the way of a run here sooner or later, and to `faults` what already does: each
/// a sentence of what is wrong and one of what to do.
void judge_machine(const nlohmann::ordered_json& machine, std::uint64_t memory_bytes, nlohmann::ordered_json& warnings,
                   nlohmann::ordered_json& faults);

}  // namespace chorale
