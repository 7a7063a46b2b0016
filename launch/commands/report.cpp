#include "launch/commands/report.hpp"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "core/report/comparison_table.hpp"
#include "core/report/result_table.hpp"
#include "launch/commands/common.hpp"
#include "launch/results/report_files.hpp"
#include "launch/results/report_source.hpp"

namespace chorale {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string output;
};

// As `chorale train` ends with.
void print_run(const ReportRun& run) {
  if (!run.metrics.is_object()) {
    write_output(fmt::format("{}: not finished, so there are no results yet\n", run.directory));
    return;
  }
  const nlohmann::json& datasets = run.metrics.at("datasets");
  const bool colour = output_wants_colour();
  for (const char* name : {"test", "validation"}) {
    if (!datasets.contains(name)) continue;
    write_output(fmt::format("{} set: {}\n\n{}", name, run.name, result_table(datasets.at(name), colour)));
    break;
  }
  const std::string shifted = shifted_table(datasets);
  if (!shifted.empty()) write_output("\n" + shifted);
}

void print_comparison(const std::vector<ReportRun>& runs) {
  std::vector<NamedMetrics> named;
  const std::vector<std::string> labels = run_labels(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) named.emplace_back(labels[i], runs[i].metrics);
  write_output(comparison_table(named));
}

void report(const Options& options) {
  std::vector<ReportRun> runs;
  for (const std::string& directory : options.runs) runs.push_back(report_run(RunReader(directory)));
  if (runs.size() == 1) {
    print_run(runs.front());
  } else {
    print_comparison(runs);
  }
  std::string path = options.output;
  if (path.empty()) path = runs.size() == 1 ? runs.front().directory + "/report.html" : "report.html";
  write_report(path, runs);
  write_output(fmt::format("\nreport in {}: open it in a browser; it needs no network\n", path));
}

}  // namespace

void add_report_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("report", "Tables of one or several runs, and a page to look at: report.html");
  command->add_option("RUN", options->runs, "Run directories, as `chorale train` writes them")->required();
  command->add_option("--output", options->output,
                      "The page to write (one run: RUN/report.html; several: report.html here)");
  command->footer(
      "The page is one file that opens offline. It quotes examples from the recipe's data files where they can still\n"
      "be found; call it from the directory the run was started in. A run that is not finished has its curves only.\n\n"
      "Examples:\n"
      "  chorale report runs/quickstart\n"
      "  chorale report runs/three runs/five --output comparison.html\n");
  command->callback([options] { report(*options); });
}

}  // namespace chorale
