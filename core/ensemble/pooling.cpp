#include "core/ensemble/pooling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/errors.hpp"
#include "core/ensemble/log_math.hpp"

namespace chorale {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

// Log-probabilities of all members for one (example, choice), members in order.
void gather(const PredictionTable& table, std::size_t example, std::size_t choice, std::vector<double>& values) {
  for (std::size_t member = 0; member < table.members.size(); ++member) {
    values[member] = table.members[member].row(example)[choice];
  }
}

void arithmetic(const PredictionTable& table, std::size_t example, std::vector<double>& values, std::span<double> row) {
  for (std::size_t choice = 0; choice < row.size(); ++choice) {
    gather(table, example, choice, values);
    row[choice] = log_mean_exp(values);
  }
}

void geometric(const PredictionTable& table, std::size_t example, std::vector<double>& values, std::span<double> row) {
  for (std::size_t choice = 0; choice < row.size(); ++choice) {
    gather(table, example, choice, values);
    double sum = 0.0;
    for (const double value : values) {
      sum += value;
    }
    row[choice] = sum / static_cast<double>(values.size());
  }
  if (log_sum_exp(row) == kNever) {
    for (std::size_t choice = 0; choice < row.size(); ++choice) {
      gather(table, example, choice, values);
      row[choice] = log_sum_exp(values) == kNever ? kNever : 0.0;
    }
  }
  log_normalise(row);
}

}  // namespace

LogRows pool(const PredictionTable& table, Pooling pooling) {
  CHORALE_ASSERT(!table.members.empty(), "pooling needs a member");
  LogRows pooled{table.examples, table.choices, std::vector<double>(table.examples * table.choices)};
  std::vector<double> values(table.members.size());
  for (std::size_t example = 0; example < table.examples; ++example) {
    if (pooling == Pooling::arithmetic) {
      arithmetic(table, example, values, pooled.row(example));
    } else {
      geometric(table, example, values, pooled.row(example));
    }
  }
  return pooled;
}

}  // namespace chorale
