// Which tensors a decoder of a given shape consists of: the list that files are checked against.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/weights/model_config.hpp"

namespace chorale {

/// One tensor under its Hugging Face name, with its row-major shape.
struct ExpectedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  /// Heads whose rows the rotary embedding pairs up (q and k projections and their biases); 0 for all others.
  std::int64_t rotary_heads = 0;
};

/// All tensors of the model, embedding first, layers in order, head last (absent when tied).
[[nodiscard]] std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

/// Number of weights; a tied head counts once.
[[nodiscard]] std::int64_t parameter_count(const ModelConfig& config);

/// Refuses shapes that no decoder can have: sizes below 1 or absurdly large, heads that do not divide into groups, an
/// odd head dimension, constants that are not positive. InputError naming `where` (a file) and the key's meaning.
void validate(const ModelConfig& config, const std::string& where);

}  // namespace chorale
