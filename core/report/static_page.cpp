#include "core/report/static_page.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace chorale {
namespace {

using nlohmann::json;

struct Row {
  const char* pointer;
  const char* title;
};
constexpr std::array<Row, 4> kRows = {{{"/members/mean", "members' mean"},
                                       {"/single_temperature_scaled", "single + temperature"},
                                       {"/ensemble", "ensemble"},
                                       {"/ensemble_temperature_scaled", "ensemble + temperature"}}};
constexpr std::array<std::pair<const char*, const char*>, 5> kColumns = {
    {{"accuracy", "accuracy"}, {"nll", "NLL"}, {"brier", "Brier"}, {"ece", "ECE"}, {"perplexity", "perplexity"}}};

std::string cell(const json& row, const char* metric) {
  const auto found = row.find(metric);
  if (found == row.end()) return "";
  return found->is_number() ? fmt::format("{:.3f}", found->get<double>()) : "infinite";
}

std::string table(const json& dataset) {
  const json& first = dataset.at("members").at("mean");
  std::string html = "<table><thead><tr><th></th>";
  for (const auto& [metric, title] : kColumns) {
    if (first.contains(metric)) html += fmt::format("<th>{}</th>", title);
  }
  html += "</tr></thead><tbody>";
  for (const Row& row : kRows) {
    const json::json_pointer place(row.pointer);
    if (!dataset.contains(place)) continue;
    html += fmt::format("<tr><th scope=\"row\">{}</th>", row.title);
    for (const auto& [metric, title] : kColumns) {
      if (first.contains(metric)) html += fmt::format("<td>{}</td>", cell(dataset.at(place), metric));
    }
    html += "</tr>";
  }
  return html + "</tbody></table>";
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string static_results(const json& data) {
  std::string html;
  for (const json& run : data.at("runs")) {
    html += fmt::format("<section class=\"card\"><h2>{}</h2>", html_escaped(run.at("name").get<std::string>()));
    for (const json& sentence : run.at("headline")) {
      html += fmt::format("<p>{}</p>", html_escaped(sentence.get<std::string>()));
    }
    const auto set = run.at("main_set").get<std::string>();
    if (!set.empty()) {
      const json& dataset = run.at("metrics").at("datasets").at(set);
      if (dataset.contains("members")) html += table(dataset);
    }
    html += "</section>";
  }
  return html;
}

}  // namespace chorale
