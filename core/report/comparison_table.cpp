#include "core/report/comparison_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "core/report/table.hpp"

namespace chorale {
namespace {

using nlohmann::json;

struct Part {
  const char* key;
  const char* title;
};
constexpr std::array<Part, 4> kRows = {{{"/ensemble", "ensemble"},
                                        {"/ensemble_temperature_scaled", "ensemble + temperature"},
                                        {"/members/mean", "members' mean"},
                                        {"/single_temperature_scaled", "single + temperature"}}};
constexpr std::array<Part, 4> kColumns = {
    {{"accuracy", "accuracy"}, {"nll", "NLL"}, {"brier", "Brier"}, {"ece", "ECE"}}};
constexpr std::array<Part, 2> kTokenColumns = {{{"nll", "NLL per token"}, {"perplexity", "perplexity"}}};
constexpr std::size_t kNameColumns = 24;

const json* dataset_of(const json& metrics, const std::string& set) {
  return metrics.is_object() && metrics.at("datasets").contains(set) ? &metrics.at("datasets").at(set) : nullptr;
}

// The set to compare on: of those all finished runs have the most usual one; nothing when there is none.
std::string common_set(const std::vector<NamedMetrics>& runs) {
  std::vector<std::string> candidates = {"test", "validation"};
  for (const auto& [name, metrics] : runs) {
    if (!metrics.is_object()) continue;
    for (const auto& [set, dataset] : metrics.at("datasets").items()) candidates.push_back(set);
  }
  const auto found = std::find_if(candidates.begin(), candidates.end(), [&](const std::string& set) {
    return std::all_of(runs.begin(), runs.end(), [&](const NamedMetrics& run) {
      const json* dataset = dataset_of(run.second, set);
      return !run.second.is_object() || (dataset != nullptr && dataset->contains("members"));
    });
  });
  return found == candidates.end() ? "" : *found;
}

std::string cell(const json* dataset, const char* row, const char* metric) {
  const json::json_pointer place(row);
  if (dataset == nullptr || !dataset->contains(place)) return "-";
  const json& values = dataset->at(place);
  const auto found = values.find(metric);
  if (found != values.end() && found->is_number()) return fmt::format("{:.3f}", found->get<double>());
  return metric == std::string_view("nll") && values.contains("infinite") ? "infinite" : "-";
}

std::string count(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? "-" : found->dump();
}

}  // namespace

std::string comparison_table(const std::vector<NamedMetrics>& runs) {
  const std::string set = common_set(runs);
  if (set.empty() || std::none_of(runs.begin(), runs.end(), [](const auto& run) { return run.second.is_object(); })) {
    return "The runs have no evaluated set in common, so there is nothing to lay side by side.\n";
  }
  const bool tokens = std::any_of(runs.begin(), runs.end(), [&](const NamedMetrics& run) {
    const json* dataset = dataset_of(run.second, set);
    return dataset != nullptr && dataset->contains("tokens");
  });
  const std::span<const Part> columns = tokens ? std::span<const Part>(kTokenColumns) : std::span<const Part>(kColumns);
  Table table;
  std::vector<std::string> head = {shortened(set + " set", kNameColumns), "members", "examples"};
  for (const Part& column : columns) head.emplace_back(column.title);
  table.add_row(head);
  for (const Part& row : kRows) {
    const bool any = std::any_of(runs.begin(), runs.end(), [&](const NamedMetrics& run) {
      const json* dataset = dataset_of(run.second, set);
      return dataset != nullptr && dataset->contains(json::json_pointer(row.key));
    });
    if (!any) continue;
    table.add_row({row.title});
    for (const auto& [name, metrics] : runs) {
      const json* dataset = dataset_of(metrics, set);
      std::vector<std::string> cells = {"  " + shortened(name, kNameColumns - 2)};
      cells.push_back(dataset == nullptr ? "unfinished" : count(metrics, "members"));
      cells.push_back(dataset == nullptr ? "-" : count(*dataset, "examples"));
      for (const Part& column : columns) cells.push_back(cell(dataset, row.key, column.key));
      table.add_row(cells);
    }
  }
  return table.text();
}

}  // namespace chorale
