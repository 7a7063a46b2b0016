#include "core/report/record_texts.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <unordered_map>

#include "core/base/errors.hpp"
#include "core/data/choices.hpp"
#include "core/data/prompt.hpp"
#include "core/data/records.hpp"

namespace chorale {
namespace {

constexpr const char* kChanged = "The record has changed since the run: ";

class Reader {
 public:
  Reader(const std::string& path, const TaskConfig& task) : path_(path), task_(task), prompt_(task.prompt) {}

  [[nodiscard]] RecordText read(const Record& record, const ExpectedRecord& expected) const {
    RecordText result;
    result.choices =
        task_.choices_field.empty() ? task_.fixed_choices : record_choices(record, path_, task_.choices_field);
    const std::string choices = prompt_.uses(kChoicesField) ? shown_choices(result.choices) : std::string();
    result.text = prompt_.render(record, path_, &choices);
    result.problem = mismatch(record, expected, result.choices);
    return result;
  }

 private:
  [[nodiscard]] std::string shown_choices(const std::vector<std::string>& choices) const {
    return choices_text(choices, task_.labels == LabelStyle::letters && choices.size() <= kMaxLetters);
  }

  [[nodiscard]] std::string mismatch(const Record& record, const ExpectedRecord& expected,
                                     const std::vector<std::string>& choices) const {
    if (choices.size() != expected.choices) {
      return fmt::format("{}it has {} options, and {} were predicted.", kChanged, choices.size(), expected.choices);
    }
    const std::optional<Answer> answer = find_answer(record, path_, task_.answer, choices);
    if ((answer ? answer->index : -1) != expected.label) return std::string(kChanged) + "its answer is another one.";
    return "";
  }

  const std::string& path_;
  const TaskConfig& task_;
  Prompt prompt_;
};

std::map<std::string, RecordText> all_with(const std::string& problem, const TaskConfig& task,
                                           const std::vector<ExpectedRecord>& wanted) {
  std::map<std::string, RecordText> texts;
  for (const ExpectedRecord& expected : wanted) texts[expected.id] = {"", task.fixed_choices, problem};
  return texts;
}

// Only those asked for; a large file has many more.
std::unordered_map<std::string, Record> find_records(const ReportDataFile& file,
                                                     const std::vector<ExpectedRecord>& wanted) {
  std::unordered_map<std::string, Record> found;
  for (const ExpectedRecord& expected : wanted) found[expected.id] = Record();
  for (Record& record : read_records(file.path, file.limit).records) {
    const auto place = found.find(record.id);
    if (place != found.end()) place->second = std::move(record);
  }
  return found;
}

}  // namespace

std::map<std::string, RecordText> record_texts(const ReportDataFile* file, const TaskConfig& task,
                                               const std::vector<ExpectedRecord>& wanted) {
  if (file == nullptr) return all_with("The recipe names no data file for this set.", task, wanted);
  std::error_code ignored;
  if (!std::filesystem::exists(file->path, ignored)) {
    return all_with(fmt::format("{} is not there, seen from the directory the report was made in.", file->path), task,
                    wanted);
  }
  try {
    std::map<std::string, RecordText> texts;
    const Reader reader(file->path, task);
    const std::unordered_map<std::string, Record> records = find_records(*file, wanted);
    for (const ExpectedRecord& expected : wanted) {
      const Record& record = records.at(expected.id);
      RecordText& text = texts[expected.id];
      if (record.line == 0) {
        text.problem = fmt::format("{} has no record with this id any more.", file->path);
      } else {
        try {
          text = reader.read(record, expected);
        } catch (const Error& error) {
          text.problem = std::string(kChanged) + error.what();
        }
      }
      if (!text.problem.empty()) text = {"", task.fixed_choices, text.problem};
    }
    return texts;
  } catch (const Error& error) {
    return all_with(error.what(), task, wanted);
  }
}

}  // namespace chorale
