// One row of the result: a single pool, or the mean over several members.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/calibration/metrics.hpp"

namespace chorale {

struct ResultRow {
  std::string name;                  // key under `intervals`
  std::vector<Contributions> parts;  // one for a pool, M for a mean over members

  /// Mean over the parts, in order; `infinite` is their sum.
  [[nodiscard]] Metrics metrics() const;
  [[nodiscard]] Metrics metrics(std::span<const std::uint32_t> counts) const;
};

/// The object {accuracy, nll, ...}. Values that are no finite number become null; an infinite NLL brings `infinite`,
/// the number of examples with it.
[[nodiscard]] nlohmann::json metrics_json(const Metrics& metrics);

/// The same object from the metrics of each part: sample standard deviations (n - 1), null for a single part.
[[nodiscard]] nlohmann::json deviation_json(std::span<const Metrics> parts);

/// `number`, or null where it is infinite or not a number.
[[nodiscard]] nlohmann::json finite_or_null(double number);

/// The object `intervals`: {<row>: {<metric>: [low, high]}} from `draws` resamples, and `change`: the interval of
/// rows[better] - rows[base] in the same resamples. Quantiles of the resamples; for ECE and MCE centred on the set's
/// own value (see centred_interval) and cut off at 0.
[[nodiscard]] nlohmann::json interval_json(std::span<const ResultRow> rows, std::size_t base, std::size_t better,
                                           std::size_t draws, std::uint64_t seed);

}  // namespace chorale
