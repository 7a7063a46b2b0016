// One line of someone's predictions: from fields to checked numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/data/records.hpp"

namespace chorale {

/// What the numbers of a record are.
enum class PredictionForm { probabilities, log_probabilities, logits };

struct PredictionRecord {
  std::string kind;                       // the field (JSONL) or "p0..." (CSV, TSV): all records must have the same
  std::vector<std::vector<double>> rows;  // [members][choices] log-probabilities, settled
  std::optional<std::int32_t> label;      // nothing: the record has none
};

/// Reads `record` of file `path`. `columns`: the record is a row of a CSV or TSV file, whose values are text.
/// Throws InputError with path:line.
[[nodiscard]] PredictionRecord prediction_record(const Record& record, const std::string& path, bool columns);

}  // namespace chorale
