// What `chorale doctor` finds out, as one JSON object.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "distributed/world.hpp"

namespace chorale {

/// {"versions": {...}, "launcher", "devices", "machine": {...} of rank 0, "slurm": {"job", "name", "nodes",
/// "partition", "array_job", "array_task", "restarts"} or null, "ranks": [{"rank", "host", "node_rank", "node_size",
/// "cores", "sharing", "threads", "memory_bytes", "gpus", "gpu_list", "slurm_node", "clock": {"offset_seconds",
/// "error_seconds"}}, ...], "disks": [...] (doctor_disk.hpp), "pairs": {"microseconds": [from][to],
/// "gigabytes_per_second": [from][to]}, "warnings": [...], "faults": [...], "seconds"} on rank 0, null elsewhere.
/// `output`: the directory that runs are to be written to. Collective. A fault means that a run here would fail.
[[nodiscard]] nlohmann::ordered_json doctor_facts(World& world, const std::string& output);

}  // namespace chorale
