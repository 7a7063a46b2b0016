// ensemble.json beside exported members: what they are an ensemble of, and how to pool and temper them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/weights/base_files.hpp"
#include "launch/results/run_reader.hpp"

namespace chorale {

/// One member's directory as it was written.
struct ExportedMember {
  std::uint32_t member = 0;
  std::string directory;                     // its name below the export's own
  std::map<std::string, std::string> files;  // name to SHA-256
};

/// What the index says besides the members.
struct ExportFacts {
  std::string kind;   // peft | merged
  std::string dtype;  // of merged weights; empty for adapters
  std::int64_t step = 0;
  std::string fingerprint;  // of the base
};

/// The text of ensemble.json. Temperatures and metrics come from the run's metrics.json and are null while it has none;
/// those of the ensemble hold for all members together and are null when only some were exported.
[[nodiscard]] std::string export_index(const RunReader& run, const BaseFiles& base, const ExportFacts& facts,
                                       const std::vector<ExportedMember>& members);

}  // namespace chorale
