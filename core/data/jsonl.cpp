#include "core/data/jsonl.hpp"

#include <fmt/format.h>

#include <utility>

#include "core/base/errors.hpp"
#include "core/base/strict_json.hpp"
#include "core/data/line_reader.hpp"

namespace chorale {
namespace {

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

// What to tell someone whose line is JSON but no object.
std::string remedy(const nlohmann::json& value) {
  if (value.is_array()) return "A JSON array becomes JSON lines by writing each of its objects on a line of its own";
  return "Write one object such as {\"question\": \"...\"} on each line";
}

nlohmann::json parse_line(const std::string& line, const LineReader& reader) {
  const char first = line[line.find_first_not_of(" \t\r")];
  const bool is_table = reader.line() == 1 && first != '{' && first != '[' && line.find_first_of(",;\t") != line.npos;
  return parse_strict_json(line, reader.path(), reader.line(), kMaxJsonDepth,
                           is_table ? "Each line must be one JSON object; name a file with a header line and columns "
                                      ".csv or .tsv."
                                    : "Each line must be one JSON object; correct this one or remove it.");
}

}  // namespace

std::vector<Record> read_jsonl(const std::string& path, std::size_t limit) {
  LineReader reader(path);
  std::vector<Record> records;
  std::string line;
  while ((limit == 0 || records.size() < limit) && reader.next(line)) {
    if (is_blank(line)) continue;
    // An array or object left open at the end of a line is a JSON document over several lines: say so.
    if (line.find_first_not_of(" \t\r[{") == std::string::npos) {
      throw InputError(
          fmt::format("{}: the JSON value does not end on its line. Write one whole object a line (JSON "
                      "lines), for instance with: jq -c '.[]'",
                      reader.where()));
    }
    Record record;
    record.line = reader.line();
    record.fields = parse_line(line, reader);
    if (!record.fields.is_object()) {
      throw InputError(fmt::format("{}: a record must be an object, not a value of type {}. {}", reader.where(),
                                   record.fields.type_name(), remedy(record.fields)));
    }
    if (record.fields.empty()) {
      throw InputError(fmt::format("{}: the object has no fields. Remove the line or fill it in", reader.where()));
    }
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace chorale
