// What `chorale doctor` finds out, as one JSON object.
#pragma once

#include <nlohmann/json.hpp>

#include "distributed/world.hpp"

namespace chorale {

/// {"versions": {...}, "launcher", "devices", "machine": {...} of rank 0, "ranks": [{"rank", "host", "node_rank",
/// "node_size", "cores", "sharing", "threads", "memory_bytes", "gpus"}, ...], "pairs": {"microseconds": [from][to],
/// "gigabytes_per_second": [from][to]}, "warnings": [...], "faults": [...]} on rank 0, null elsewhere. Collective. A
/// fault means that a run here would fail.
[[nodiscard]] nlohmann::ordered_json doctor_facts(World& world);

}  // namespace chorale
