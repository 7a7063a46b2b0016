// How likely the base, or an adapter over it, finds a text.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/model/decoder.hpp"
#include "core/model/linear_hook.hpp"

namespace chorale {

struct TextScores {
  std::vector<float> log_probabilities;             // of ids[1..], one fewer than ids
  std::vector<std::pair<std::int32_t, float>> top;  // the likeliest next tokens with their logits, best first
};

/// Scores one token sequence (at least one id, each below the vocabulary: InputError otherwise) in one pass. `hook` may
/// be null: the base alone.
[[nodiscard]] TextScores score_tokens(const Decoder& decoder, const std::vector<std::int32_t>& ids, std::int64_t top,
                                      const LinearHook* hook);

}  // namespace chorale
