#include "core/calibration/result_row.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/base/interruption.hpp"
#include "core/calibration/bootstrap.hpp"

namespace chorale {
namespace {

using Draws = std::array<std::vector<double>, metric_count>;

// Errors found by binning: biased upwards in a resample.
bool is_binned(std::string_view metric) {
  return metric.starts_with("ece") || metric == "mce";
}

// `smallest`: what no value of the row can be below.
nlohmann::json intervals_of(const Draws& draws, const Metrics& estimate, double smallest) {
  nlohmann::json result = nlohmann::json::object();
  for (std::size_t metric = 0; metric < metric_count; ++metric) {
    const bool defined =
        std::none_of(draws[metric].begin(), draws[metric].end(), [](double value) { return std::isnan(value); });
    Interval interval{std::nan(""), std::nan("")};
    if (defined && is_binned(kMetricNames[metric])) {
      interval = centred_interval(draws[metric], estimate.values[metric]);
      interval.low = std::max(interval.low, smallest);
    } else if (defined) {
      interval = percentile_interval(draws[metric]);
    }
    result[std::string(kMetricNames[metric])] = {finite_or_null(interval.low), finite_or_null(interval.high)};
  }
  return result;
}

void append(Draws& draws, const Metrics& metrics) {
  for (std::size_t metric = 0; metric < metric_count; ++metric) {
    draws[metric].push_back(metrics.values[metric]);
  }
}

}  // namespace

Metrics ResultRow::metrics() const {
  return metrics(std::vector<std::uint32_t>(parts.front().size(), 1));
}

Metrics ResultRow::metrics(std::span<const std::uint32_t> counts) const {
  Metrics mean;
  for (const Contributions& part : parts) {
    const Metrics of_part = part.metrics(counts);
    for (std::size_t metric = 0; metric < metric_count; ++metric) {
      mean.values[metric] += of_part.values[metric];
    }
    mean.infinite += of_part.infinite;
  }
  for (double& value : mean.values) {
    value /= static_cast<double>(parts.size());
  }
  return mean;
}

nlohmann::json finite_or_null(double number) {
  return std::isfinite(number) ? nlohmann::json(number) : nullptr;
}

nlohmann::json metrics_json(const Metrics& metrics) {
  nlohmann::json result = nlohmann::json::object();
  for (std::size_t metric = 0; metric < metric_count; ++metric) {
    result[std::string(kMetricNames[metric])] = finite_or_null(metrics.values[metric]);
  }
  if (metrics.infinite > 0) {
    result["infinite"] = static_cast<std::int64_t>(metrics.infinite);
  }
  return result;
}

nlohmann::json deviation_json(std::span<const Metrics> parts) {
  nlohmann::json result = nlohmann::json::object();
  const double count = static_cast<double>(parts.size());
  for (std::size_t metric = 0; metric < metric_count; ++metric) {
    double mean = 0.0;
    for (const Metrics& part : parts) {
      mean += part.values[metric] / count;
    }
    double squares = 0.0;
    for (const Metrics& part : parts) {
      squares += (part.values[metric] - mean) * (part.values[metric] - mean);
    }
    result[std::string(kMetricNames[metric])] = finite_or_null(std::sqrt(squares / (count - 1.0)));
  }
  return result;
}

nlohmann::json interval_json(std::span<const ResultRow> rows, std::size_t base, std::size_t better, std::size_t draws,
                             std::uint64_t seed) {
  std::vector<Draws> of_row(rows.size());
  Draws change;
  std::vector<std::uint32_t> counts(rows.front().parts.front().size());
  std::vector<Metrics> metrics(rows.size());
  for (std::size_t draw = 0; draw < draws; ++draw) {
    stop_if_asked("resample");
    draw_resample(seed, draw, counts);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      metrics[row] = rows[row].metrics(counts);
      append(of_row[row], metrics[row]);
    }
    for (std::size_t metric = 0; metric < metric_count; ++metric) {
      change[metric].push_back(metrics[better].values[metric] - metrics[base].values[metric]);
    }
  }
  nlohmann::json result = nlohmann::json::object();
  for (std::size_t row = 0; row < rows.size(); ++row) {
    metrics[row] = rows[row].metrics();
    result[rows[row].name] = intervals_of(of_row[row], metrics[row], 0.0);
  }
  Metrics difference;
  for (std::size_t metric = 0; metric < metric_count; ++metric) {
    difference.values[metric] = metrics[better].values[metric] - metrics[base].values[metric];
  }
  result["change"] = intervals_of(change, difference, -std::numeric_limits<double>::infinity());
  return result;
}

}  // namespace chorale
