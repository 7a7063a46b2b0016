#include "core/data/records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/data/delimited.hpp"
#include "core/data/jsonl.hpp"

namespace chorale {
namespace {

std::string lower_extension(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter; });
  return extension;
}

std::vector<Record> read_by_format(const std::string& path, std::size_t limit) {
  const std::string format = record_format(path);
  if (format == "jsonl") return read_jsonl(path, limit);
  return read_delimited(path, format == "csv" ? Delimited::csv : Delimited::tsv, limit);
}

// The `id` field as text; the line number where there is none.
std::string record_id(const Record& record, const std::string& path) {
  const auto found = record.fields.find("id");
  if (found == record.fields.end() || found->is_null()) return std::to_string(record.line);
  if (found->is_number()) return found->dump();
  if (!found->is_string()) {
    throw InputError(
        fmt::format("{}:{}: 'id' must be a string or a number, not a value of type {}. Write it so, or remove it.",
                    path, record.line, found->type_name()));
  }
  const std::string& id = found->get_ref<const std::string&>();
  return id.empty() ? std::to_string(record.line) : id;
}

}  // namespace

std::string record_format(const std::string& path) {
  const std::string extension = lower_extension(path);
  if (extension == ".jsonl" || extension == ".ndjson" || extension == ".json") return "jsonl";
  if (extension == ".csv") return "csv";
  if (extension == ".tsv") return "tsv";
  throw InputError(
      fmt::format("{}: the kind of data file is not known from its name. Name it .jsonl (one JSON object a line), .csv "
                  "or .tsv (with a header line).",
                  path));
}

RecordFile read_records(const std::string& path, std::size_t limit) {
  RecordFile file{path, read_by_format(path, limit)};
  if (file.records.empty()) {
    throw InputError(
        fmt::format("{}: holds no record. It needs at least one: check that it is the file you mean.", path));
  }
  std::unordered_map<std::string, std::size_t> line_of;
  line_of.reserve(file.records.size());
  for (Record& record : file.records) {
    record.id = record_id(record, path);
    const auto [first, fresh] = line_of.emplace(record.id, record.line);
    if (!fresh) {
      throw InputError(
          fmt::format("{}:{}: the id '{}' is already that of line {}. Ids must differ (a record without "
                      "one has its line number).",
                      path, record.line, printable(record.id), first->second));
    }
  }
  return file;
}

}  // namespace chorale
