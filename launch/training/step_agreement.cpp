#include "launch/training/step_agreement.hpp"

#include <algorithm>
#include <utility>

#include "core/base/fault_point.hpp"
#include "core/base/heartbeat.hpp"
#include "core/base/interruption.hpp"

namespace chorale {
namespace {

constexpr double kSecondsBetweenMeetings = 0.5;
constexpr std::int64_t kSignals = 128;  // more than there are

}  // namespace

StepAgreement::StepAgreement(World& world, std::optional<double> save_every, Clock clock)
    : world_(world), save_every_(save_every), clock_(std::move(clock)), last_save_(clock_()) {}

StepAgreement::Outcome StepAgreement::before_step(std::int64_t steps_done) {
  beat();
  fault_place("step");
  world_.at_step(steps_done);
  return steps_done < next_ ? Outcome() : meet(steps_done);
}

StepAgreement::Outcome StepAgreement::meet(std::int64_t steps_done) {
  const double now = clock_();
  // The lowest rank that was asked gives the largest number, those that only heard of it smaller ones.
  const int signal = interruption();
  const std::int64_t place = world_.size() - world_.rank() + (interruption_is_own() ? world_.size() : 0);
  const std::int64_t asked = signal == 0 ? 0 : place * kSignals + signal;
  const bool save = world_.is_root() && save_every_ && now - last_save_ >= *save_every_;
  const std::int64_t steps = world_.is_root() ? steps_until_next(steps_done, now) : 0;
  const std::vector<std::int64_t> agreed = world_.largest({asked, save ? 1 : 0, steps});
  met_at_ = steps_done;
  met_time_ = clock_();
  interval_ = agreed[2];
  next_ = steps_done + interval_;
  Outcome outcome;
  outcome.signal = static_cast<int>(agreed[0] % kSignals);
  if (outcome.signal != 0) outcome.rank = world_.size() - 1 - (agreed[0] / kSignals - 1) % world_.size();
  outcome.save = agreed[1] != 0;
  return outcome;
}

// Of rank 0. Growth is limited, for the steps measured may have been much shorter than those to come.
std::int64_t StepAgreement::steps_until_next(std::int64_t steps_done, double now) {
  if (world_.size() == 1 || met_at_ < 0 || steps_done <= met_at_) return 1;
  const double step = std::max((now - met_time_) / static_cast<double>(steps_done - met_at_), 1e-6);
  const auto fitting = static_cast<std::int64_t>(kSecondsBetweenMeetings / step);
  return std::clamp<std::int64_t>(fitting, 1, 2 * interval_);
}

}  // namespace chorale
