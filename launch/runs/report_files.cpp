#include "launch/runs/report_files.hpp"

#include <spdlog/spdlog.h>

#include <exception>

#include "core/base/atomic_file.hpp"
#include "core/report/report_data.hpp"
#include "core/report/report_page.hpp"

namespace chorale {

void write_report(const std::string& path, std::span<const ReportRun> runs) {
  const nlohmann::json data = report_data(runs);
  for (const nlohmann::json& run : data["runs"]) {
    for (const nlohmann::json& problem : run["problems"]) {
      spdlog::warn("{}: {}", run["directory"].get<std::string>(), problem.get<std::string>());
    }
  }
  write_file_atomically(path, report_page(data));
}

void write_report_of_training(const ReportRun& run) {
  try {
    write_report(run.directory + "/report.html", {&run, 1});
  } catch (const std::exception& error) {
    spdlog::warn("report.html was not written, the results are: {} `chorale report {}` makes it again.", error.what(),
                 run.directory);
  }
}

}  // namespace chorale
