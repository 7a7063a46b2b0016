#include "core/report/report_set.hpp"

#include <algorithm>
#include <optional>
#include <span>

#include "core/calibration/member_counts.hpp"
#include "core/calibration/pairs.hpp"
#include "core/calibration/reliability.hpp"
#include "core/calibration/scaled_rows.hpp"
#include "core/ensemble/pooling.hpp"
#include "core/report/round_numbers.hpp"

namespace chorale {
namespace {

using nlohmann::json;

json band_json(const std::optional<Interval>& band) {
  if (!band) return nullptr;
  return json::array({six_digits(band->low), six_digits(band->high)});
}

class Diagrams {
 public:
  Diagrams(const PredictionTable& table, const EvaluationConfig& config, std::uint64_t seed)
      : table_(table),
        bins_(static_cast<std::size_t>(config.ece_bins)),
        draws_(config.bootstrap > 0 ? band_draws(config, table) : 0),
        seed_(seed) {}

  void add(const char* row, std::span<const LogRows> parts) {
    json list = json::array();
    for (const ReliabilityBin& bin : reliability(parts, table_.labels, bins_, draws_, seed_)) {
      if (bin.count == 0.0) continue;
      list.push_back({{"low", six_digits(bin.low)},
                      {"high", six_digits(bin.high)},
                      {"count", six_digits(bin.count)},
                      {"confidence", six_digits(bin.confidence)},
                      {"accuracy", six_digits(bin.accuracy)},
                      {"gap", six_digits(bin.gap)},
                      {"band", band_json(bin.band)}});
    }
    diagrams_[row] = std::move(list);
  }

  [[nodiscard]] const json& all() const { return diagrams_; }

 private:
  const PredictionTable& table_;
  std::size_t bins_;
  std::size_t draws_;
  std::uint64_t seed_;
  json diagrams_ = json::object();
};

json counts_json(const PredictionTable& table, const EvaluationConfig& config, std::uint64_t seed) {
  json list = json::array();
  for (const MemberCount& count : metrics_by_member_count(table, static_cast<std::size_t>(config.ece_bins), seed)) {
    json entry = {{"members", count.members}, {"subsets", count.subsets}, {"all", count.all}};
    for (std::size_t metric = 0; metric < kCountedMetrics.size(); ++metric) {
      entry[std::string(kCountedMetrics[metric])] = {six_digits(count.mean[metric]),
                                                     six_digits(count.deviation[metric])};
    }
    list.push_back(std::move(entry));
  }
  return list;
}

json matrix_json(const PredictionTable& table) {
  json rows = json::array();
  for (const std::vector<double>& row : pairwise_disagreement(table)) {
    json& cells = rows.emplace_back(json::array());
    for (const double share : row) cells.push_back(six_digits(share));
  }
  return rows;
}

}  // namespace

std::size_t band_draws(const EvaluationConfig& config, const PredictionTable& table) {
  constexpr std::size_t kWork = 200'000'000;
  const std::size_t of_one_draw = table.examples * 2 * (table.members.size() + 1);
  const std::size_t affordable = std::max<std::size_t>(100, kWork / std::max<std::size_t>(1, of_one_draw));
  return std::min(static_cast<std::size_t>(std::max<std::int64_t>(0, config.bootstrap)), affordable);
}

json report_set(const PredictionTable& table, const PredictionTable* validation, const EvaluationConfig& config,
                std::uint64_t seed) {
  json result = {{"disagreement", matrix_json(table)}};
  const bool labelled =
      std::any_of(table.labels.begin(), table.labels.end(), [](std::int32_t label) { return label >= 0; });
  if (!labelled) return result;
  const LogRows pooled = pool(table, Pooling::arithmetic);
  Diagrams diagrams(table, config, seed);
  diagrams.add("members_mean", table.members);
  diagrams.add("ensemble", {&pooled, 1});
  if (validation != nullptr && config.temperature) {
    if (const std::optional<ScaledRows> scaled = scaled_rows(*validation, table, pooled)) {
      diagrams.add("single_temperature_scaled", scaled->members);
      diagrams.add("ensemble_temperature_scaled", {&scaled->ensemble, 1});
    }
  }
  result["reliability"] = diagrams.all();
  result["members"] = counts_json(table, config, seed);
  return result;
}

}  // namespace chorale
