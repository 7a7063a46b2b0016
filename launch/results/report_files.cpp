#include "launch/results/report_files.hpp"

#include <spdlog/spdlog.h>

#include <exception>
#include <functional>

#include "core/base/atomic_file.hpp"
#include "core/report/report_data.hpp"
#include "core/report/report_page.hpp"
#include "launch/results/report_source.hpp"
#include "launch/results/run_reader.hpp"

namespace chorale {
namespace {

void or_warn(const std::string& directory, const std::function<void()>& make) {
  try {
    make();
  } catch (const std::exception& error) {
    spdlog::warn("report.html was not written, the results are: {} `chorale report {}` makes it again.", error.what(),
                 directory);
  }
}

}  // namespace

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
  or_warn(run.directory, [&] { write_report(run.directory + "/report.html", {&run, 1}); });
}

void renew_report(const std::string& directory) {
  or_warn(directory, [&] {
    const ReportRun run = report_run(RunReader(directory));
    write_report(directory + "/report.html", {&run, 1});
  });
}

}  // namespace chorale
