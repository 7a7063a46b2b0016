// Random predictions for property tests: softmax of Gaussian-like scores, the same for a seed everywhere.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "core/base/random.hpp"
#include "core/ensemble/log_math.hpp"
#include "core/ensemble/prediction_table.hpp"

namespace chorale::test {

struct RandomPredictions {
  std::size_t members = 4;
  std::size_t examples = 60;
  std::size_t choices = 5;
  double sharpness = 2.0;     // scale of the scores
  bool some_missing = false;  // every third example lacks its last choice

  [[nodiscard]] PredictionTable make(std::uint64_t seed) const {
    RandomSequence random(RandomStream(seed, 0, Purpose::test, 0));
    PredictionTable table;
    table.name = "random";
    table.examples = examples;
    table.choices = choices;
    table.members.resize(members, LogRows{examples, choices, std::vector<double>(examples * choices)});
    for (std::size_t example = 0; example < examples; ++example) {
      const bool missing = some_missing && choices > 2 && example % 3 == 0;
      const auto label = random.below(static_cast<std::uint32_t>(choices - (missing ? 1 : 0)));
      table.labels.push_back(static_cast<std::int32_t>(label));
      table.example_ids.push_back("example " + std::to_string(example));
      for (LogRows& member : table.members) {
        const std::span<double> row = member.row(example);
        for (std::size_t choice = 0; choice < choices; ++choice) {
          const double noise = random.next_double() + random.next_double() + random.next_double() - 1.5;
          row[choice] = sharpness * (2.0 * noise + (choice == label ? 1.0 : 0.0));
        }
        if (missing) {
          row[choices - 1] = -std::numeric_limits<double>::infinity();
        }
        log_normalise(row);
      }
    }
    return table;
  }
};

/// The same predictions as our own float32 struct.
inline Predictions narrowed(const PredictionTable& table) {
  Predictions result{table.name, table.members.size(), table.examples,   table.choices,
                     {},         table.labels,         table.example_ids};
  for (const LogRows& member : table.members) {
    for (const double value : member.values) {
      result.log_probabilities.push_back(static_cast<float>(value));
    }
  }
  return result;
}

}  // namespace chorale::test
