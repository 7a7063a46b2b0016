#include "core/report/result_table.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <span>
#include <string_view>
#include <vector>

#include "core/report/table.hpp"

namespace chorale {
namespace {

using nlohmann::json;

struct Column {
  const char* metric;
  const char* title;
  bool higher_is_better;
};
constexpr std::array<Column, 4> kColumns = {
    {{"accuracy", "accuracy", true}, {"nll", "NLL", false}, {"brier", "Brier", false}, {"ece", "ECE", false}}};
// A completion has no choices to be right about or to be calibrated over.
constexpr std::array<Column, 2> kTokenColumns = {
    {{"nll", "NLL per token", false}, {"perplexity", "perplexity", false}}};

// The number under `path` of nested keys, or NaN where there is none.
double number(const json& object, std::initializer_list<const char*> path) {
  const json* at = &object;
  for (const char* key : path) {
    const auto found = at->find(key);
    if (found == at->end()) {
      return std::nan("");
    }
    at = &*found;
  }
  return at->is_number() ? at->get<double>() : std::nan("");
}

// Three decimals, fewer where there are more digits before them: at most five characters below 100 000.
std::string shown(double value) {
  if (std::isnan(value)) return "-";
  const double size = std::abs(value);
  return fmt::format("{:.{}f}", value, size < 9.9995 ? 3 : size < 99.995 ? 2 : size < 999.95 ? 1 : 0);
}

std::string painted(const std::string& text, const char* code, bool colour) {
  return colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

// "0.704 +1.0%", green where it is an improvement of at least a tenth of a per cent.
std::string with_change(double value, double base, const Column& column, bool colour) {
  if (std::isnan(value) || std::isnan(base) || base == 0.0) {
    return shown(value);
  }
  const double change = 100.0 * (value / base - 1.0);
  const bool better = column.higher_is_better ? change >= 0.05 : change <= -0.05;
  const char* code = std::abs(change) < 0.05 ? "0" : (better ? "32" : "31");
  return fmt::format("{} {}", shown(value),
                     painted(fmt::format("{:+.{}f}%", change, std::abs(change) < 99.95 ? 1 : 0), code, colour));
}

std::string interval(const json& dataset, const char* row, const char* metric) {
  const json::json_pointer place(fmt::format("/intervals/{}/{}", row, metric));
  if (!dataset.contains(place) || dataset.at(place).size() != 2) {
    return "";
  }
  const json& ends = dataset.at(place);
  const auto end = [](const json& value) { return value.is_number() ? shown(value.get<double>()) : "-"; };
  return fmt::format("{}..{}", end(ends[0]), end(ends[1]));
}

class Rows {
 public:
  Rows(const json& dataset, std::span<const Column> columns, bool colour)
      : dataset_(dataset), columns_(columns), colour_(colour) {
    std::vector<std::string> titles = {""};
    for (const Column& column : columns_) {
      titles.push_back(painted(column.title, "1", colour));
    }
    table_.add_row(titles);
  }

  // The members' mean with the spread over members behind ±.
  void add_base(const std::string& title) {
    std::vector<std::string> cells = {title};
    for (const Column& column : columns_) {
      const double spread = number(dataset_, {"members", "std", column.metric});
      const std::string value = value_text(dataset_.at("members").at("mean"), column);
      cells.push_back(std::isnan(spread) ? value : fmt::format("{} ±{}", value, shown(spread)));
    }
    finish(cells, "members_mean");
  }

  void add(const std::string& title, const char* row) {
    if (!dataset_.contains(row)) {
      return;
    }
    std::vector<std::string> cells = {title};
    for (const Column& column : columns_) {
      const double value = number(dataset_, {row, column.metric});
      const double base = number(dataset_, {"members", "mean", column.metric});
      cells.push_back(std::isnan(value) ? value_text(dataset_.at(row), column)
                                        : with_change(value, base, column, colour_));
    }
    finish(cells, row);
  }

  [[nodiscard]] std::string text() const { return table_.text(); }

 private:
  // A null NLL is an infinite one: some example gave its label probability zero.
  static std::string value_text(const json& row, const Column& column) {
    const double value = number(row, {column.metric});
    return std::isnan(value) && row.contains("infinite") ? "infinite" : shown(value);
  }

  void finish(std::vector<std::string>& cells, const char* row) {
    table_.add_row(cells);
    if (dataset_.contains("intervals")) {
      std::vector<std::string> below = {""};
      for (const Column& column : columns_) {
        below.push_back(interval(dataset_, row, column.metric));
      }
      table_.add_row(below);
    }
  }

  const json& dataset_;
  std::span<const Column> columns_;
  bool colour_;
  Table table_;
};

std::string explanation(const json& dataset, bool several) {
  std::string text;
  if (several) {
    text += "±: standard deviation over members; %: change against the members' mean.\n";
  }
  if (dataset.contains("intervals")) {
    text +=
        "low..high: 95 % bootstrap interval over examples (ECE: centred, for resampling\n"
        "inflates it).\n";
  }
  return text;
}

std::string temperatures(const json& dataset, bool several) {
  const double single = number(dataset, {"single_temperature_scaled", "temperature"});
  const double ensemble = number(dataset, {"ensemble_temperature_scaled", "temperature"});
  if (std::isnan(single) || std::isnan(ensemble)) {
    return "";
  }
  return several ? fmt::format("temperature   members' mean {:.3f}, ensemble {:.3f}\n", single, ensemble)
                 : fmt::format("temperature   {:.3f}\n", single);
}

std::string token_table(const json& dataset, bool colour) {
  const bool several = dataset.at("members").at("each").size() > 1;
  Rows rows(dataset, kTokenColumns, colour);
  rows.add_base(several ? "members' mean" : "model");
  if (several) {
    rows.add("ensemble", "ensemble");
  }
  return rows.text() + explanation(dataset, several) +
         fmt::format("\nexamples      {}, {} answer tokens\n", dataset.at("examples").dump(),
                     dataset.at("tokens").dump());
}

}  // namespace

std::string result_table(const json& dataset, bool colour) {
  if (dataset.contains("tokens")) {
    return token_table(dataset, colour);
  }
  const bool labelled = dataset.contains("members");
  const bool several = !labelled || dataset.at("members").at("each").size() > 1;
  std::string text;
  if (labelled) {
    Rows rows(dataset, kColumns, colour);
    rows.add_base(several ? "members' mean" : "model");
    rows.add(several ? "single + temperature" : "model + temperature", "single_temperature_scaled");
    if (several) {
      rows.add("ensemble", "ensemble");
      rows.add("ensemble + temperature", "ensemble_temperature_scaled");
    }
    text += rows.text() + explanation(dataset, several) + "\n" + temperatures(dataset, several);
  }
  text += fmt::format(
      "uncertainty   total {} = aleatoric {} + epistemic {} nats\n", shown(number(dataset, {"uncertainty", "total"})),
      shown(number(dataset, {"uncertainty", "aleatoric"})), shown(number(dataset, {"uncertainty", "epistemic"})));
  if (several) {
    text += fmt::format("disagreement  {:.1f} % of member pairs choose differently\n",
                        100.0 * number(dataset, {"disagreement"}));
  }
  text += fmt::format("examples      {}, {} labelled, {} choices; ECE over {} bins\n", dataset.at("examples").dump(),
                      dataset.at("labelled").dump(), dataset.at("choices").dump(), dataset.at("ece_bins").dump());
  return text;
}

std::string shifted_table(const json& datasets, std::size_t columns) {
  const std::size_t name_columns = columns - 66;  // what the columns of numbers leave
  Table table;
  table.add_row({"", "", "", "", "", "AUROC:", "", ""});
  table.add_row({"", "examples", "total", "epistemic", "disagree", "entropy", "mutual", "max prob."});
  bool any = false;
  const auto add = [&](const std::string& name, const json& dataset) {
    std::vector<std::string> cells = {shortened(name, name_columns), dataset.at("examples").dump()};
    for (const char* part : {"total", "epistemic"}) {
      cells.push_back(shown(number(dataset, {"uncertainty", part})));
    }
    cells.push_back(fmt::format("{:.1f} %", 100.0 * number(dataset, {"disagreement"})));
    std::vector<std::string> below(cells.size());
    if (dataset.contains("detection")) {
      for (const char* score : {"entropy", "mutual_information", "max_probability"}) {
        cells.push_back(shown(number(dataset, {"detection", "ensemble", "auroc", score})));
        // A single member has no mutual information: its scores are all equal, its area is one half.
        const bool of_members = score != std::string_view("mutual_information");
        const double members = number(dataset, {"detection", "members_mean", "auroc", score});
        below.push_back(of_members ? fmt::format("({})", shown(members)) : "");
      }
    }
    table.add_row(cells);
    if (dataset.contains("detection")) table.add_row(below);
  };
  if (datasets.contains("test")) {
    add("test", datasets.at("test"));
  }
  for (const auto& [name, dataset] : datasets.items()) {
    if (dataset.contains("detection")) {
      add(name, dataset);
      any = true;
    }
  }
  return any ? table.text() +
                   "AUROC against test, 0.5: no better than chance; (mean of single members);\n"
                   "mutual: mutual information.\n"
             : "";
}

}  // namespace chorale
