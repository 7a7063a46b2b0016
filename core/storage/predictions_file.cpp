#include "core/storage/predictions_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <unordered_set>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/ensemble/log_math.hpp"
#include "core/storage/format_header.hpp"
#include "core/storage/hdf5.hpp"

namespace chorale {
namespace {

constexpr const char* kFormat = "chorale-predictions";
constexpr double kInfinity = std::numeric_limits<double>::infinity();

using Names = std::vector<std::string>;

void explain(hdf5::Object object, const std::string& meaning, const Names& axes) {
  object.set_attribute("meaning", meaning);
  object.set_attribute("axes", axes);
}

void write_set(hdf5::Group& parent, const Predictions& set) {
  if (set.name.empty() || set.name == "." || set.name.find('/') != std::string::npos || parent.contains(set.name)) {
    throw InputError(
        fmt::format("'{}' cannot name a set of predictions: names must differ, hold no '/' and not be "
                    "empty or '.'. Rename the data set.",
                    printable(set.name)));
  }
  hdf5::Group group = parent.create_group(set.name);
  explain(group.write("log_probabilities", std::span<const float>(set.log_probabilities),
                      {set.members, set.examples, set.choices}),
          "natural logarithm of the probability each member gives each choice; -inf: the example lacks the choice",
          {"member", "example", "choice"});
  explain(group.write("labels", std::span<const std::int32_t>(set.labels), {set.examples}),
          "index of the right choice; -1: unlabelled", {"example"});
  explain(group.write_strings("example_ids", set.example_ids), "identifier of the example in its data file",
          {"example"});
}

[[noreturn]] void refuse(const hdf5::Place& place, const std::string& problem) {
  throw InputError(fmt::format("{}: {}: {}", place.file, printable(place.object), problem));
}

void check_format(const hdf5::Group& root) {
  check_format_header(root, kFormat, kPredictionsVersion);
  if (!root.contains("predictions")) {
    throw InputError(fmt::format("{}: holds no group /predictions. Give a predictions file.", root.place().file));
  }
}

// One place per row, checked and settled.
void settle_rows(PredictionTable& table, const hdf5::Place& place) {
  for (std::size_t member = 0; member < table.members.size(); ++member) {
    for (std::size_t example = 0; example < table.examples; ++example) {
      const std::span<double> row = table.members[member].row(example);
      const bool numbers =
          std::none_of(row.begin(), row.end(), [](double value) { return std::isnan(value) || value == kInfinity; });
      const double sum = numbers ? std::exp(log_sum_exp(row)) : kInfinity;
      if (!(std::abs(sum - 1.0) <= kSumTolerance)) {
        refuse(place, fmt::format("member {}, example {} (id '{}'): {}. Store log-softmax of the scores.", member,
                                  example, printable(table.example_ids[example]),
                                  numbers ? fmt::format("probabilities sum to {:.6g}, not 1", sum)
                                          : std::string("a value is not a number or +inf")));
      }
      settle_row(row);
    }
  }
}

std::vector<std::int32_t> read_labels(const hdf5::Group& group, const PredictionTable& table) {
  if (!group.contains("labels")) {
    return std::vector<std::int32_t>(table.examples, -1);
  }
  const hdf5::Dataset dataset = group.dataset("labels");
  if (dataset.shape() != std::vector<std::size_t>{table.examples}) {
    refuse(dataset.place(),
           fmt::format("must hold one label for each of the {} examples. Write it anew.", table.examples));
  }
  std::vector<std::int32_t> labels;
  for (const std::int64_t label : dataset.read<std::int64_t>()) {
    if (label < -1 || label >= static_cast<std::int64_t>(table.choices)) {
      refuse(dataset.place(),
             fmt::format("example {}: label {} is none of the {} choices. Count from 0; -1: unlabelled.", labels.size(),
                         label, table.choices));
    }
    labels.push_back(static_cast<std::int32_t>(label));
  }
  return labels;
}

std::vector<std::string> read_ids(const hdf5::Group& group, const PredictionTable& table) {
  std::vector<std::string> ids;
  if (!group.contains("example_ids")) {
    for (std::size_t example = 0; example < table.examples; ++example) {
      ids.push_back(std::to_string(example));
    }
    return ids;
  }
  const hdf5::Dataset dataset = group.dataset("example_ids");
  ids = dataset.read_strings();
  if (ids.size() != table.examples) {
    refuse(dataset.place(),
           fmt::format("must hold one id for each of the {} examples. Write it anew.", table.examples));
  }
  std::unordered_set<std::string_view> seen;
  for (const std::string& id : ids) {
    if (!seen.insert(id).second) {
      refuse(dataset.place(), fmt::format("the id '{}' occurs twice. Ids must differ.", printable(id)));
    }
  }
  return ids;
}

PredictionTable read_set(const hdf5::Group& group, const std::string& name) {
  const hdf5::Dataset dataset = group.dataset("log_probabilities");
  const std::vector<std::size_t>& shape = dataset.shape();
  if (shape.size() != 3 || dataset.elements() == 0) {
    refuse(dataset.place(), "must have the axes [members, examples, choices], none of them empty. Write it anew.");
  }
  PredictionTable table;
  table.name = name;
  table.examples = shape[1];
  table.choices = shape[2];
  const std::vector<double> values = dataset.read<double>();
  for (std::size_t member = 0; member < shape[0]; ++member) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(member * table.examples * table.choices);
    const auto last = first + static_cast<std::ptrdiff_t>(table.examples * table.choices);
    table.members.push_back({table.examples, table.choices, std::vector<double>(first, last)});
  }
  table.labels = read_labels(group, table);
  table.example_ids = read_ids(group, table);
  settle_rows(table, dataset.place());
  return table;
}

}  // namespace

void write_predictions(const std::string& path, std::span<const Predictions> sets,
                       const std::map<std::string, std::string>& attributes) {
  hdf5::File file = hdf5::File::create(path);
  {
    hdf5::Group root = file.root();
    write_format_header(root, kFormat, kPredictionsVersion);
    for (const auto& [name, value] : attributes) {
      root.set_attribute(name, value);
    }
    hdf5::Group group = root.create_group("predictions");
    group.set_attribute("meaning", "one group per evaluated data set");
    for (const Predictions& set : sets) {
      write_set(group, set);
    }
  }
  file.commit();
}

std::vector<PredictionTable> read_prediction_tables(const std::string& path) {
  const hdf5::File file = hdf5::File::open(path);
  const hdf5::Group root = file.root();
  check_format(root);
  const hdf5::Group group = root.group("predictions");
  std::vector<PredictionTable> tables;
  for (const std::string& name : group.names()) {
    tables.push_back(read_set(group.group(name), name));
  }
  if (tables.empty()) {
    throw InputError(fmt::format("{}: holds no set of predictions. Evaluate a data set first.", path));
  }
  return tables;
}

std::vector<Predictions> read_predictions_file(const std::string& path) {
  std::vector<Predictions> sets;
  for (PredictionTable& table : read_prediction_tables(path)) {
    Predictions& set = sets.emplace_back();
    set.name = std::move(table.name);
    set.members = table.members.size();
    set.examples = table.examples;
    set.choices = table.choices;
    for (const LogRows& member : table.members) {
      for (const double value : member.values) {
        set.log_probabilities.push_back(static_cast<float>(value));
      }
    }
    set.labels = std::move(table.labels);
    set.example_ids = std::move(table.example_ids);
  }
  return sets;
}

}  // namespace chorale
