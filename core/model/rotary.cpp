#include "core/model/rotary.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "core/base/errors.hpp"

namespace chorale {

std::vector<double> inverse_frequencies(const ModelConfig& config) {
  const std::int64_t half = config.head_dim / 2;
  const RopeScaling& scaling = config.rope_scaling;
  std::vector<double> frequencies(static_cast<std::size_t>(half));
  for (std::int64_t i = 0; i < half; ++i) {
    double f = std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
    if (scaling.kind == "linear") {
      f /= scaling.factor;
    } else if (scaling.kind == "llama3") {
      const double turns = scaling.original_context * f / (2.0 * std::numbers::pi);  // of the original context
      if (turns < scaling.low_frequency_factor) {
        f /= scaling.factor;
      } else if (turns < scaling.high_frequency_factor) {
        const double blend =
            (turns - scaling.low_frequency_factor) / (scaling.high_frequency_factor - scaling.low_frequency_factor);
        f = (1.0 - blend) * f / scaling.factor + blend * f;
      }
    } else {
      CHORALE_ASSERT(scaling.kind == "none", "rope scaling '" + scaling.kind + "' was let through");
    }
    frequencies[static_cast<std::size_t>(i)] = f;
  }
  return frequencies;
}

Rotations rotations(const std::vector<double>& frequencies, const std::vector<std::int64_t>& positions,
                    at::ScalarType type) {
  const auto rows = static_cast<std::int64_t>(positions.size());
  const auto half = static_cast<std::int64_t>(frequencies.size());
  at::Tensor cosine = at::empty({rows, half}, at::kDouble);
  at::Tensor sine = at::empty({rows, half}, at::kDouble);
  auto* c = cosine.mutable_data_ptr<double>();
  auto* s = sine.mutable_data_ptr<double>();
  for (const std::int64_t position : positions) {
    for (const double frequency : frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      *c++ = std::cos(angle);
      *s++ = std::sin(angle);
    }
  }
  return {cosine.to(type), sine.to(type)};
}

void RotationTable::reach(std::int64_t largest) {
  if (largest < known_) return;
  known_ = std::max<std::int64_t>(256, known_);
  while (known_ <= largest) known_ *= 2;
  std::vector<std::int64_t> positions(static_cast<std::size_t>(known_));
  std::iota(positions.begin(), positions.end(), 0);
  const Rotations all = rotations(frequencies_, positions, type_);
  table_ = {all.cosine.to(device_), all.sine.to(device_)};
}

Rotations RotationTable::rows_of(const at::Tensor& positions) const {
  return {table_.cosine.index_select(0, positions), table_.sine.index_select(0, positions)};
}

}  // namespace chorale
