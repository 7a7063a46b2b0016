// From what run directories hold to the one JSON object report.html shows.
#pragma once

#include <nlohmann/json.hpp>
#include <span>

#include "core/report/report_run.hpp"

namespace chorale {

/// {made_by, runs: [run]}; each run has
///   - name, label (run_labels()), directory, seed (as text: it may have 64 bits), members, completion, finished;
///   - recipe (its text), settings [[key, value]], metrics (metrics.json) and timings (timings.json), null without
///   them;
///   - problems: sentences about what could not be read and is therefore not shown;
///   - sets: names of the evaluated sets: test, validation, then the others by name; main_set: the one that headline (a
///     list of sentences) is about, "" without any;
///   - curves: report_curves();
///   - charts: {set: report_set()}; uncertainty: report_uncertainty(), without the validation set beside a test set;
///   - examples: {set: report_examples()} of at most kExampleSets sets, as for uncertainty.
/// All aggregated: the size does not grow with the number of examples. A predictions.h5 or data file that is missing,
/// damaged or changed is a problem the page tells of, and nothing is thrown for it.
[[nodiscard]] nlohmann::json report_data(std::span<const ReportRun> runs);

inline constexpr std::size_t kExampleSets = 6;

}  // namespace chorale
