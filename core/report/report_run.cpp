#include "core/report/report_run.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

namespace chorale {

std::vector<std::string> run_labels(std::span<const ReportRun> runs) {
  std::vector<std::string> names;
  std::vector<std::string> last_parts;
  std::vector<std::string> directories;
  for (const ReportRun& run : runs) {
    names.push_back(run.name);
    last_parts.push_back(std::filesystem::path(run.directory).filename().string());
    directories.push_back(run.directory);
  }
  const auto differ = [](const std::vector<std::string>& labels) {
    return std::set<std::string>(labels.begin(), labels.end()).size() == labels.size() &&
           std::find(labels.begin(), labels.end(), "") == labels.end();
  };
  return differ(names) ? names : differ(last_parts) ? last_parts : directories;
}

}  // namespace chorale
