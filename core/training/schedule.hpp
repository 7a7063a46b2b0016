// Learning rate over time.
#pragma once

#include <cstdint>

#include "core/training/training_config.hpp"

namespace chorale {

/// Steps of warm-up: the fraction of all steps, rounded up.
[[nodiscard]] std::int64_t warmup_steps(const ScheduleConfig& schedule, std::int64_t total_steps);

/// What the learning rate is multiplied by at `step` (from 0) of `total_steps`. Warm-up: (step+1)/warmup, so that no
/// step is spent at rate zero. Then constant 1; linear (total-step)/(total-warmup); or cosine
/// (1 + cos(pi * (step-warmup)/(total-warmup))) / 2. Always in (0, 1].
[[nodiscard]] double learning_rate_factor(const ScheduleConfig& schedule, std::int64_t step, std::int64_t total_steps);

}  // namespace chorale
