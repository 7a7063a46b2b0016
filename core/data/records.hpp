// Records as they stand in a data file: JSON lines, CSV or TSV.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace chorale {

/// One record. CSV and TSV fields are strings; JSONL fields keep their JSON type.
struct Record {
  std::string id;         // the record's `id` field, else "<line number>"
  nlohmann::json fields;  // an object
  std::size_t line = 0;   // 1-based line in the file where the record starts
};

struct RecordFile {
  std::string path;
  std::vector<Record> records;
};

/// Reads the first `limit` records (0: all) of a .jsonl/.ndjson/.json, .csv or .tsv file, told apart by the extension.
/// UTF-8 is checked; blank lines are skipped; a bad line, a duplicate id, a ragged row or an empty file is an
/// InputError with file:line and the remedy. Only as much of the file is read as `limit` asks for.
[[nodiscard]] RecordFile read_records(const std::string& path, std::size_t limit = 0);

/// "jsonl", "csv" or "tsv" by the extension, in any letter case; InputError naming what there is for any other.
[[nodiscard]] std::string record_format(const std::string& path);

}  // namespace chorale
