// What a data file holds, for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace chorale {

/// Reads the whole file (as read_records, with its errors) and sums it up:
/// {"path", "format": "jsonl"|"csv"|"tsv", "records": n, "fields": {name: {"present": n, "types": {type: n},
///  "length": {"min", "mean", "max"}, "examples": [up to 3 texts], "values": {text: n}}}}.
/// `length` counts the characters of strings and the items of arrays, and is absent for fields with neither; `values`
/// is there for fields of at most 30 different short scalars that repeat. Texts are cut to 80 bytes.
[[nodiscard]] nlohmann::json describe_data(const std::string& path);

}  // namespace chorale
