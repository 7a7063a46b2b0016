// Positions to rotations.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
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

/// The rotations of positions 0, 1, ... on a device, computed when first met. Not for several threads.
class RotationTable {
 public:
  RotationTable(std::vector<double> frequencies, at::ScalarType type, at::Device device)
      : frequencies_(std::move(frequencies)), type_(type), device_(device) {}

  /// Makes sure that rows_of() knows every position up to `largest`.
  void reach(std::int64_t largest);
  /// positions: [rows] int64 on the device, none above what reach() was told.
  [[nodiscard]] Rotations rows_of(const at::Tensor& positions) const;

 private:
  std::vector<double> frequencies_;
  at::ScalarType type_;
  at::Device device_;
  std::int64_t known_ = 0;
  Rotations table_;
};

}  // namespace chorale
