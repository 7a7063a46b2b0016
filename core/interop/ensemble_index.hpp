// ensemble.json: which directories make an ensemble, over which base, and that they are as they were written.
#pragma once

#include <string>
#include <vector>

#include "core/weights/base_files.hpp"

namespace chorale {

inline constexpr const char* kEnsembleIndexName = "ensemble.json";
inline constexpr const char* kEnsembleFormat = "chorale-ensemble";
inline constexpr int kEnsembleVersion = 1;

struct EnsembleIndex {
  std::string kind;  // peft | merged
  std::string base_fingerprint;
  std::vector<std::string> directories;  // of the members, in order, below the index's own
};

/// Reads `directory`/ensemble.json and compares every file it lists with its SHA-256. InputError naming the file and
/// the remedy when one is missing or changed, when a name leads out of the directory, or when the index is foreign or
/// of a newer version (both are named).
[[nodiscard]] EnsembleIndex read_ensemble_index(const std::string& directory);

/// True when `directory` holds an ensemble.json.
[[nodiscard]] bool has_ensemble_index(const std::string& directory);

/// `given` with every directory that holds an ensemble.json replaced by its members' directories, in order. InputError
/// as read_ensemble_index, and when its members are merged models. Warns when an index names another base than `base`
/// (may be null): the same model in another form is fine, another model of the same shape is not, and both have another
/// fingerprint.
[[nodiscard]] std::vector<std::string> expand_adapter_directories(const std::vector<std::string>& given,
                                                                  const BaseFiles* base);

}  // namespace chorale
