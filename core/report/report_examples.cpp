#include "core/report/report_examples.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <set>

#include "core/data/choices.hpp"
#include "core/ensemble/log_math.hpp"
#include "core/report/record_texts.hpp"
#include "core/report/round_numbers.hpp"

namespace chorale {
namespace {

using nlohmann::json;

// The `count` first of `examples` by falling value.
std::vector<std::size_t> largest(std::vector<std::size_t> examples, std::size_t count,
                                 const std::function<double(std::size_t)>& value) {
  std::stable_sort(examples.begin(), examples.end(), [&](std::size_t a, std::size_t b) { return value(a) > value(b); });
  examples.resize(std::min(examples.size(), count));
  return examples;
}

std::string shortened_text(const std::string& text) {
  if (text.size() <= kLongestText) return text;
  std::size_t end = kLongestText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // not inside a character
  return text.substr(0, end) + " …";
}

class Shown {
 public:
  Shown(const PredictionTable& table, const LogRows& pooled, std::size_t example, const RecordText& record)
      : row_(pooled.row(example)), record_(record), label_(table.labels[example]) {
    for (const LogRows& member : table.members) {
      const std::span<const double> row = member.row(example);
      votes_.push_back(argmax(row));
      confidences_.push_back(std::exp(row[votes_.back()]));
    }
  }

  [[nodiscard]] json options() const {
    json list = json::array();
    for (const std::size_t choice : shown()) {
      list.push_back({{"choice", choice},
                      {"name", name(choice)},
                      {"probability", six_digits(std::exp(row_[choice]))},
                      {"votes", std::count(votes_.begin(), votes_.end(), choice)},
                      {"is_label", is_label(choice)}});
    }
    return list;
  }

  [[nodiscard]] json others() const {
    const std::vector<std::size_t> visible = shown();
    double probability = 0.0;
    std::size_t count = 0;
    for (std::size_t choice = 0; choice < row_.size(); ++choice) {
      if (!exists(choice) || std::find(visible.begin(), visible.end(), choice) != visible.end()) continue;
      probability += std::exp(row_[choice]);
      ++count;
    }
    return {{"count", count}, {"probability", six_digits(probability)}};
  }

  [[nodiscard]] json members() const {
    json list = json::array();
    for (std::size_t member = 0; member < votes_.size(); ++member) {
      list.push_back({{"choice", votes_[member]},
                      {"name", name(votes_[member])},
                      {"probability", six_digits(confidences_[member])}});
    }
    return list;
  }

 private:
  [[nodiscard]] bool exists(std::size_t choice) const {
    return row_[choice] != -std::numeric_limits<double>::infinity();
  }
  [[nodiscard]] bool is_label(std::size_t choice) const {
    return label_ >= 0 && choice == static_cast<std::size_t>(label_);
  }
  [[nodiscard]] std::string name(std::size_t choice) const {
    if (choice < record_.choices.size()) return record_.choices[choice];
    return choice < kMaxLetters ? letter_of(choice) : std::to_string(choice);
  }

  // The most probable options, and whatever else a reader will look for.
  [[nodiscard]] std::vector<std::size_t> shown() const {
    std::vector<std::size_t> order(row_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    order = largest(order, order.size(), [&](std::size_t choice) { return row_[choice]; });
    const std::set<std::size_t> voted(votes_.begin(), votes_.end());
    std::vector<std::size_t> result;
    for (std::size_t rank = 0; rank < order.size(); ++rank) {
      const std::size_t choice = order[rank];
      const bool is_wanted = is_label(choice) || voted.contains(choice);
      if (is_wanted || (rank < kOptionsShown && exists(choice))) result.push_back(choice);
    }
    return result;
  }

  std::span<const double> row_;
  const RecordText& record_;
  std::int32_t label_;
  std::vector<std::size_t> votes_;
  std::vector<double> confidences_;
};

std::vector<ExpectedRecord> expected_records(const PredictionTable& table, const LogRows& pooled,
                                             const std::set<std::size_t>& examples) {
  std::vector<ExpectedRecord> result;
  for (const std::size_t example : examples) {
    const std::span<const double> row = pooled.row(example);
    const auto present = std::count_if(row.begin(), row.end(), [](double value) { return std::isfinite(value); });
    result.push_back({table.example_ids[example], static_cast<std::size_t>(present), table.labels[example]});
  }
  return result;
}

}  // namespace

RankedExamples rank_examples(const PredictionTable& table, const LogRows& pooled, const Uncertainty& split,
                             std::size_t count) {
  std::vector<std::size_t> all(table.examples);
  std::iota(all.begin(), all.end(), std::size_t{0});
  std::vector<std::size_t> wrong;
  std::copy_if(all.begin(), all.end(), std::back_inserter(wrong), [&](std::size_t example) {
    return table.labels[example] >= 0 && argmax(pooled.row(example)) != static_cast<std::size_t>(table.labels[example]);
  });
  const auto confidence = [&](std::size_t example) { return pooled.row(example)[argmax(pooled.row(example))]; };
  return {largest(wrong, count, confidence),
          largest(all, count, [&](std::size_t example) { return split.epistemic[example]; }),
          largest(all, count, [&](std::size_t example) { return split.total[example]; })};
}

json report_examples(const PredictionTable& table, const LogRows& pooled, const Uncertainty& split,
                     const TaskConfig& task, const ReportDataFile* file) {
  const RankedExamples ranked = rank_examples(table, pooled, split);
  std::set<std::size_t> shown(ranked.wrong.begin(), ranked.wrong.end());
  shown.insert(ranked.epistemic.begin(), ranked.epistemic.end());
  shown.insert(ranked.total.begin(), ranked.total.end());
  const std::map<std::string, RecordText> records = record_texts(file, task, expected_records(table, pooled, shown));
  json examples = json::object();
  for (const std::size_t number : shown) {
    const RecordText& record = records.at(table.example_ids[number]);
    const Shown example(table, pooled, number, record);
    examples[std::to_string(number)] = {{"id", table.example_ids[number]},
                                        {"text", record.problem.empty() ? json(shortened_text(record.text)) : json()},
                                        {"problem", record.problem},
                                        {"label", table.labels[number]},
                                        {"entropy", six_digits(split.total[number])},
                                        {"mutual_information", six_digits(split.epistemic[number])},
                                        {"options", example.options()},
                                        {"others", example.others()},
                                        {"members", example.members()}};
  }
  return {{"lists", {{"wrong", ranked.wrong}, {"epistemic", ranked.epistemic}, {"total", ranked.total}}},
          {"examples", examples}};
}

}  // namespace chorale
