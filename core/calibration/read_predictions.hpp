// Predictions from anywhere: our HDF5 files, JSON lines, CSV and TSV, from any tool that can write numbers.
#pragma once

#include <string>
#include <vector>

#include "core/ensemble/prediction_table.hpp"

namespace chorale {

/// The sets in `path`: all of an HDF5 file, the single one (named after the file) of a text file.
///
/// JSON lines: one object per example with `label` (index from 0), optional `id`, and one of
///   members / member_log_probabilities / member_logits   M lists of K numbers
///   probabilities / log_probabilities / logits           K numbers: one model
/// `probabilities` beside `members`, as `chorale predict` writes them, are their mean and not read.
/// CSV and TSV: columns `label`, `p0` ... `pK-1`, optional `id`; other columns are ignored.
/// Label -1 means unlabelled; a file in which no record has a label is unlabelled. Logits go through log-softmax in
/// float64; probabilities must sum to 1 within 1e-3 (README.md says what is renormalised).
///
/// InputError with file:line, what is wrong and the remedy for: rows that are no distributions (negative, not finite,
/// wrong sum), rows or member lists of different lengths, labels outside the choices, records of different kinds,
/// repeated ids, and everything read_records and read_prediction_tables refuse.
[[nodiscard]] std::vector<PredictionTable> read_predictions(const std::string& path);

}  // namespace chorale
