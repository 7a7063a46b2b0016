// The texts behind predictions: records looked up again in the data file of a set.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/task.hpp"
#include "core/report/report_run.hpp"

namespace chorale {

/// A record as the model read it, or why it cannot be shown.
struct RecordText {
  std::string text;                  // the rendered prompt
  std::vector<std::string> choices;  // the options' texts; the fixed ones even with a problem
  std::string problem;               // empty: `text` and `choices` hold
};

/// What the predictions say of an example that its record must still fit.
struct ExpectedRecord {
  std::string id;
  std::size_t choices = 0;  // options with a probability
  std::int32_t label = -1;
};

/// Looks all of `wanted` up, by id. Nothing is thrown for a file or record that is gone, damaged or changed: it is the
/// record's problem. `file` may be null: the recipe names none.
[[nodiscard]] std::map<std::string, RecordText> record_texts(const ReportDataFile* file, const TaskConfig& task,
                                                             const std::vector<ExpectedRecord>& wanted);

}  // namespace chorale
