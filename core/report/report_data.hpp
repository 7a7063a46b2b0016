// From what run directories hold to the one JSON object report.html shows.
#pragma once

#include <nlohmann/json.hpp>
#include <span>

#include "core/report/report_run.hpp"

namespace chorale {

/// {made_by, runs: [run]}; of each run:
///   name, directory, seed (as text: it may have 64 bits), members, completion, finished, recipe, settings: [[key,
///   value]] problems      sentences about what could not be read and is therefore not shown metrics metrics.json,
///   timings: timings.json (null: not there) sets          names of the evaluated sets: test, validation, then the
///   others by name; main_set: what the headline is
///                 about ("" without any)
///   headline      sentences
///   curves        report_curves()
///   charts        {set: report_set()}, uncertainty: report_uncertainty() without the validation set
///   examples      {set: report_examples()} of test (else validation) and the first kExampleSets - 1 others
/// All aggregated: the size does not grow with the number of examples. A predictions.h5 or data file that is missing,
/// damaged or changed is a problem the page tells of, and nothing is thrown for it.
[[nodiscard]] nlohmann::json report_data(std::span<const ReportRun> runs);

inline constexpr std::size_t kExampleSets = 6;

}  // namespace chorale
