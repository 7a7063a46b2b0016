#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "core/base/printable.hpp"
#include "launch/recipe/data_names.hpp"
#include "launch/recipe/sections.hpp"

namespace chorale::recipe {
namespace {

constexpr Names<TooLong, 3> kTooLong = {
    {{"error", TooLong::error}, {"skip", TooLong::skip}, {"truncate_left", TooLong::truncate_left}}};
constexpr std::int64_t kMostRecords = 1'000'000'000'000;
constexpr std::int64_t kMostTokens = 1 << 20;

const Key kPath = {"path", "text", "required", "a .jsonl, .csv or .tsv file"};
const Key kLimit = {"limit", "integer >= 1, null", "null",
                    "the first N records only, in the file's order; null, or more than there are: all"};

const Section kData = {
    "data",
    {{"train", "map", "required", "the training set"},
     {"validation", "map, null", "null",
      "for early stopping and temperatures only, never trained on: `fraction` or `path`; null: neither of the two"},
     {"test", "map, null", "null", "the test set; null: no test metrics, and no detection of shifted sets"},
     {"shifted", "list of maps", "[]",
      "sets unlike the training set, evaluated after training: does uncertainty tell them from the test set?"},
     {"max_tokens", "integer >= 1", "512",
      "longest sequence in tokens: a prompt with its longest option or answer; memory grows with it"},
     {"too_long", "error, skip, truncate_left", "error",
      "a longer record: error ends the run before training, skip leaves it out, truncate_left cuts the beginning of "
      "its prompt"}}};
const Section kTrain = {"data.train", {kPath, kLimit}};
const Section kValidation = {"data.validation",
                             {{"fraction", "number in (0, 1)", "not set",
                               "a share of train, chosen by a hash of each record, so that others do not move when "
                               "records are added; an error when it leaves one side empty"},
                              {"path", "text", "not set", "a file of its own instead of `fraction`"},
                              kLimit}};
const Section kTest = {"data.test", {kPath, kLimit}};
const Section kShifted = {"data.shifted[]",
                          {{"name", "word", "required", "its name in metrics.json and predictions.h5"},
                           kPath,
                           kLimit,
                           {"labelled", "true, false", "true",
                            "false: answers may be missing or fit no option; uncertainty and detection only"}}};

void read_limit(Reader& reader, std::size_t& limit) {
  if (!reader.given("limit")) return;
  std::int64_t count = 0;
  reader.integer("limit", count, 1, kMostRecords);
  limit = static_cast<std::size_t>(count);
}

std::optional<DataFileConfig> read_file(Reader& data, std::string_view name, const Section& table) {
  if (!data.given(name)) return std::nullopt;
  auto reader = data.section(name, table);
  DataFileConfig file;
  file.name = name;
  reader->require("path", "give a .jsonl, .csv or .tsv file");
  reader->line("path", file.path);
  read_limit(*reader, file.limit);
  return file;
}

void read_validation(Reader& data, DataConfig& config) {
  if (!data.given("validation")) return;
  auto reader = data.section("validation", kValidation);
  const bool by_fraction = reader->given("fraction");
  const bool by_path = reader->given("path");
  if (by_fraction == by_path) {
    if (data.find("validation")->kind != Node::Kind::map) return;  // already a mistake
    data.mistake("validation", by_path ? "has both fraction and path; keep one"
                                       : "needs fraction: 0.1 (a share of train) or path: FILE; or remove it");
    return;
  }
  if (by_fraction) {
    reader->number("fraction", config.validation_fraction, kShareInside);
    if (reader->given("limit")) reader->mistake("limit", "goes with path only; with fraction, limit train instead");
    return;
  }
  config.validation = read_file(data, "validation", kValidation);
}

std::string name_problem(const std::string& name, const std::set<std::string>& taken) {
  if (std::string problem = data_set_name_problem(name); !problem.empty()) return problem;
  for (const std::string_view reserved : {"train", "validation", "test"}) {
    if (name == reserved) return fmt::format("'{}' is the name of another data set; choose one of its own", name);
  }
  if (taken.contains(name)) return fmt::format("'{}' is used twice; every shifted set needs its own name", name);
  return "";
}

void read_shifted(Reader& data, DataConfig& config) {
  const std::vector<Node>* items = data.list("shifted");
  if (items == nullptr) return;
  std::set<std::string> taken;
  for (std::size_t i = 0; i < items->size(); ++i) {
    Reader reader((*items)[i], kShifted, fmt::format("data.shifted.{}", i), data.mistakes());
    DataFileConfig file;
    reader.require("name", "name the set, e.g. name: mmlu_stem");
    reader.line("name", file.name);
    if (!file.name.empty()) {
      const std::string problem = name_problem(file.name, taken);
      if (!problem.empty()) reader.mistake("name", problem);
      taken.insert(file.name);
    }
    reader.require("path", "give a .jsonl, .csv or .tsv file");
    reader.line("path", file.path);
    read_limit(reader, file.limit);
    reader.boolean("labelled", file.labelled);
    config.shifted.push_back(std::move(file));
  }
}

void write_limit(Writer& writer, std::size_t limit) {
  if (limit == 0) {
    writer.null("limit");
  } else {
    writer.unsigned_integer("limit", limit);
  }
}

void write_file(Writer& writer, std::string_view name, const std::optional<DataFileConfig>& file) {
  if (!file) {
    writer.null(name);
    return;
  }
  writer.begin(name);
  writer.text("path", file->path);
  write_limit(writer, file->limit);
  writer.end();
}

}  // namespace

std::vector<const Section*> data_tables() {
  return {&kData, &kTrain, &kValidation, &kTest, &kShifted};
}

void read_data(Reader reader, RecipeUse use, DataConfig& data) {
  const bool needs_train = use == RecipeUse::training || reader.given("train");
  if (needs_train && reader.require("train", "give the training set, e.g. train: {path: data/train.jsonl}") &&
      !reader.given("train") && reader.find("train") != nullptr) {
    reader.mistake("train", "is empty; give the training set, e.g. train: {path: data/train.jsonl}");
  }
  data.train = read_file(reader, "train", kTrain);
  read_validation(reader, data);
  if (!needs_train && data.validation_fraction > 0) {
    reader.mistake("validation", "is a share of data.train, which is missing; give that, or path: FILE instead");
  }
  data.test = read_file(reader, "test", kTest);
  read_shifted(reader, data);
  reader.integer("max_tokens", data.max_tokens, 1, kMostTokens);
  reader.choice("too_long", data.too_long, kTooLong);
}

void write_data(Writer& writer, const DataConfig& data) {
  writer.begin("data");
  write_file(writer, "train", data.train);
  if (data.validation_fraction > 0) {
    writer.begin("validation");
    writer.number("fraction", data.validation_fraction);
    writer.end();
  } else {
    write_file(writer, "validation", data.validation);
  }
  write_file(writer, "test", data.test);
  writer.begin_list("shifted");
  for (const DataFileConfig& file : data.shifted) {
    writer.begin_item();
    writer.text("name", file.name);
    writer.text("path", file.path);
    write_limit(writer, file.limit);
    writer.boolean("labelled", file.labelled);
    writer.end();
  }
  writer.end_list();
  writer.integer("max_tokens", data.max_tokens);
  writer.word("too_long", name_of(kTooLong, data.too_long));
  writer.end();
}

}  // namespace chorale::recipe
