// What `chorale doctor` finds out about the disks of the hosts: room, speed, and whether they are the same one.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "distributed/world.hpp"

namespace chorale {

/// Where runs are written unless somebody says otherwise: runs/ where it exists, else the working directory.
[[nodiscard]] std::string usual_output_directory();

/// One rank of each host writes and syncs a file of some megabytes in `directory` and in the directory for temporary
/// files, and takes it away. [{"host", "output": {"directory", "free_bytes", "writable", "problem", "bytes_per_second",
/// "sync_seconds"}, "temporary": {...}, "shares_output": true, false or null}, ...] by host on rank 0, null elsewhere.
/// "shares_output": whether a file that rank 0 makes there is seen; null on rank 0's own host. Collective.
[[nodiscard]] nlohmann::ordered_json disk_facts(World& world, const std::string& directory);

/// Adds to `warnings` what will stand in the way of a run.
void judge_disks(const nlohmann::ordered_json& disks, nlohmann::ordered_json& warnings);

/// A table of at most `columns`.
[[nodiscard]] std::string disks_text(const nlohmann::ordered_json& disks, std::size_t columns);

}  // namespace chorale
