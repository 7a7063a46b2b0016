// Positions to rotations.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/weights/model_config.hpp"

namespace chorale {

/// Inverse frequencies theta^(-2i/d), i < d/2, after the configured scaling: "linear" divides them by the factor,
/// "llama3" divides the long wavelengths, keeps the short ones and blends between (Llama 3.1's model card).
[[nodiscard]] std::vector<double> inverse_frequencies(const ModelConfig& config);

struct Rotations {
  at::Tensor cosine;  // [rows, head_dim / 2]
  at::Tensor sine;
};

/// cos and sin of position * inverse frequency, computed in float64 and rounded once to `type`.
[[nodiscard]] Rotations rotations(const std::vector<double>& frequencies, const std::vector<std::int64_t>& positions,
                                  at::ScalarType type);

}  // namespace chorale
