#include "core/training/schedule.hpp"

#include <cmath>
#include <numbers>

#include "core/base/errors.hpp"

namespace chorale {

std::int64_t warmup_steps(const ScheduleConfig& schedule, std::int64_t total_steps) {
  return static_cast<std::int64_t>(std::ceil(schedule.warmup_fraction * static_cast<double>(total_steps)));
}

double learning_rate_factor(const ScheduleConfig& schedule, std::int64_t step, std::int64_t total_steps) {
  CHORALE_ASSERT(step >= 0 && step < total_steps, "a schedule ends with its last step");
  const std::int64_t warmup = warmup_steps(schedule, total_steps);
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double done = static_cast<double>(step - warmup) / static_cast<double>(total_steps - warmup);
  switch (schedule.kind) {
    case ScheduleKind::constant:
      return 1.0;
    case ScheduleKind::linear:
      return 1.0 - done;
    case ScheduleKind::cosine:
      return 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  }
  throw InternalError("internal error: a schedule of no kind");
}

}  // namespace chorale
