// The examples a person should read: where the ensemble was surest and wrong, and where it was least sure.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "core/data/task.hpp"
#include "core/ensemble/prediction_table.hpp"
#include "core/ensemble/uncertainty.hpp"
#include "core/report/report_run.hpp"

namespace chorale {

inline constexpr std::size_t kExamplesPerList = 6;
inline constexpr std::size_t kOptionsShown = 5;
inline constexpr std::size_t kLongestText = 2000;  // bytes of an example's text

/// Indices of examples of one set, the most telling first.
struct RankedExamples {
  std::vector<std::size_t> wrong;      // wrong answers by falling confidence of the ensemble
  std::vector<std::size_t> epistemic;  // by falling mutual information
  std::vector<std::size_t> total;      // by falling entropy
};

/// Equal values keep the order of the set. `pooled` is the arithmetic pool, `split` its uncertainty.
[[nodiscard]] RankedExamples rank_examples(const PredictionTable& table, const LogRows& pooled,
                                           const Uncertainty& split, std::size_t count = kExamplesPerList);

/// {lists: {wrong, epistemic, total: [example numbers]}, examples: {number: {id, text, problem, label, entropy,
/// mutual_information, options: [{choice, name, probability, votes, is_label}], others: {count, probability},
/// members: [{choice, name, probability}]}}}. Options are the kOptionsShown most probable ones, the label's and those a
/// member voted for; `others` is the rest. `text` is the prompt as the model read it. Where `file` (null: none) cannot
/// be read, lacks the id, or no longer fits what was predicted, `text` is null and `problem` says so.
[[nodiscard]] nlohmann::json report_examples(const PredictionTable& table, const LogRows& pooled,
                                             const Uncertainty& split, const TaskConfig& task,
                                             const ReportDataFile* file);

}  // namespace chorale
