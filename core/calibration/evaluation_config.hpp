// The recipe's `evaluation` section after validation.
#pragma once

#include <cstdint>

namespace chorale {

struct EvaluationConfig {
  std::int64_t batch_size = 32;
  std::int64_t every_epochs = 1;
  std::int64_t ece_bins = 15;
  std::int64_t bootstrap = 1000;  // 0: no intervals
  bool temperature = true;
};

}  // namespace chorale
