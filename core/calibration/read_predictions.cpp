#include "core/calibration/read_predictions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <string_view>
#include <utility>

#include "core/base/errors.hpp"
#include "core/calibration/prediction_record.hpp"
#include "core/data/records.hpp"
#include "core/storage/hdf5.hpp"
#include "core/storage/predictions_file.hpp"

namespace chorale {
namespace {

std::string lower_extension(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return extension;
}

// What must be the same in all records of a file, with the line that set it.
struct Shape {
  std::string kind;
  std::size_t members = 0;
  std::size_t choices = 0;
  bool labelled = false;
  std::size_t line = 0;
};

void check_shape(const PredictionRecord& record, const Shape& first, const std::string& place) {
  const auto raise = [&](const std::string& problem) { throw InputError(fmt::format("{}: {}", place, problem)); };
  if (record.kind != first.kind) {
    raise(fmt::format("gives '{}' where line {} gives '{}'. Write all records the same way.", record.kind, first.line,
                      first.kind));
  }
  if (record.rows.size() != first.members) {
    raise(fmt::format("has {} members and line {} has {}. Give all records predictions of the same members.",
                      record.rows.size(), first.line, first.members));
  }
  if (record.rows.front().size() != first.choices) {
    raise(fmt::format("has {} choices and line {} has {}. Fill shorter rows up; an impossible choice is probability 0.",
                      record.rows.front().size(), first.line, first.choices));
  }
  if (record.label.has_value() != first.labelled) {
    raise(fmt::format("{} 'label' where line {} {}. Give -1 for records without a known label.",
                      record.label ? "has a" : "has no", first.line, first.labelled ? "has one" : "has none"));
  }
}

PredictionTable read_text(const std::string& path, bool columns) {
  const RecordFile file = read_records(path);
  PredictionTable table;
  table.name = std::filesystem::path(path).stem().string();
  table.examples = file.records.size();
  Shape shape;
  for (const Record& source : file.records) {
    const PredictionRecord record = prediction_record(source, path, columns);
    if (table.members.empty()) {
      shape = {record.kind, record.rows.size(), record.rows.front().size(), record.label.has_value(), source.line};
      table.choices = shape.choices;
      table.members.resize(shape.members, LogRows{table.examples, table.choices, {}});
    }
    check_shape(record, shape, fmt::format("{}:{}", path, source.line));
    for (std::size_t member = 0; member < record.rows.size(); ++member) {
      std::vector<double>& values = table.members[member].values;
      values.insert(values.end(), record.rows[member].begin(), record.rows[member].end());
    }
    table.labels.push_back(record.label.value_or(-1));
    table.example_ids.push_back(source.id);
  }
  return table;
}

}  // namespace

std::vector<PredictionTable> read_predictions(const std::string& path) {
  constexpr std::array<std::string_view, 3> kHdf5 = {".h5", ".hdf5", ".hdf"};
  constexpr std::array<std::string_view, 3> kJson = {".jsonl", ".ndjson", ".json"};
  constexpr std::array<std::string_view, 2> kColumns = {".csv", ".tsv"};
  const std::string extension = lower_extension(path);
  const auto among = [&](const auto& list) { return std::find(list.begin(), list.end(), extension) != list.end(); };
  if (among(kHdf5) || hdf5::has_hdf5_signature(path)) {
    return read_prediction_tables(path);
  }
  if (!among(kJson) && !among(kColumns)) {
    throw InputError(
        fmt::format("{}: the kind of predictions file is not known from its name. Name it .h5, .jsonl, "
                    ".csv or .tsv.",
                    path));
  }
  std::vector<PredictionTable> sets;
  sets.push_back(read_text(path, among(kColumns)));
  return sets;
}

}  // namespace chorale
