// predictions.h5: members' log-probabilities of every evaluated data set, for us and for anyone with h5py.
//
//   root attributes   format = "chorale-predictions", format_version = 1, created_by, and what the caller adds
//   /predictions/<name>/log_probabilities  [members, examples, choices] float32, -inf where an option is missing
//   /predictions/<name>/labels             [examples] int32, -1 where unlabelled
//   /predictions/<name>/example_ids        [examples] UTF-8 strings
//
// Every data set carries `meaning` and `axes`; chunks carry Fletcher-32 checksums, and the
// whole file a SHA-256 behind its end (file_seal.hpp).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/ensemble/prediction_table.hpp"
#include "core/ensemble/predictions.hpp"

namespace chorale {

inline constexpr std::int64_t kPredictionsVersion = 1;

/// Writes all sets to `path`, atomically. `attributes` go to the root beside our own. StorageError when the disk
/// refuses; InputError for a set name that cannot stand in a path ('/', '.' or nothing) or comes twice.
void write_predictions(const std::string& path, std::span<const Predictions> sets,
                       const std::map<std::string, std::string>& attributes = {});

/// All sets of a predictions file, in the order they were written. InputError for a file that is foreign, damaged, cut
/// short, newer than this program (both versions are named), or whose arrays do not fit together: shapes, labels
/// outside the choices, repeated ids, rows that are no distributions. A file without our `format` attribute is read as
/// well when its groups are as above; `labels` and `example_ids` may then be missing (unlabelled, numbered from 0).
[[nodiscard]] std::vector<Predictions> read_predictions_file(const std::string& path);

/// The same in float64, for metrics; reals of any width are read at their own precision.
[[nodiscard]] std::vector<PredictionTable> read_prediction_tables(const std::string& path);

}  // namespace chorale
