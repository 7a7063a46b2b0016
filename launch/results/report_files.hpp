// report.html on disk.
#pragma once

#include <span>
#include <string>

#include "core/report/report_run.hpp"

namespace chorale {

/// Makes the report of `runs` and writes it to `path`, atomically; a warning for each thing a run lacks. StorageError.
void write_report(const std::string& path, std::span<const ReportRun> runs);

/// RUN/report.html of a run that is about to be finished: whatever goes wrong is a warning, for the results are worth
/// more than the report, and `chorale report` can make it again.
void write_report_of_training(const ReportRun& run);

/// The same for the run in `directory`, whose results have changed.
void renew_report(const std::string& directory);

}  // namespace chorale
