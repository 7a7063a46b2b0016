#include "core/training/stopping.hpp"

#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>

namespace chorale {
namespace {

// Smaller is better for all of them after this.
double value_of(StoppingMetric metric, const ValidationMetrics& metrics) {
  switch (metric) {
    case StoppingMetric::nll:
      return metrics.nll;
    case StoppingMetric::accuracy:
      return -metrics.accuracy;
    case StoppingMetric::ece:
      return metrics.ece;
  }
  return metrics.nll;
}

}  // namespace

Stopping::Stopping(std::int64_t members, std::optional<EarlyStopping> config)
    : config_(config), states_(static_cast<std::size_t>(members)) {}

bool Stopping::any_training() const {
  return std::any_of(states_.begin(), states_.end(), [](const MemberState& state) { return state.training; });
}

bool Stopping::all_diverged() const {
  return std::all_of(states_.begin(), states_.end(), [](const MemberState& state) { return state.diverged; });
}

void Stopping::diverge(std::int64_t member, std::int64_t step) {
  MemberState& state = states_[static_cast<std::size_t>(member)];
  state.training = false;
  state.diverged = true;
  state.stopped_at = step;
}

std::vector<std::int64_t> Stopping::validated(std::int64_t step, const std::vector<ValidationMetrics>& metrics,
                                              const at::Tensor& parameters) {
  std::vector<std::int64_t> stopped;
  if (!config_) return stopped;
  if (!best_.defined()) best_ = at::zeros_like(parameters);
  for (std::size_t m = 0; m < states_.size(); ++m) {
    MemberState& state = states_[m];
    if (!state.training) continue;
    const double value = value_of(config_->metric, metrics[m]);
    if (std::isfinite(value) && (state.best_step < 0 || value < state.best_value)) {
      state.best_step = step;
      state.best_value = value;
      state.since_best = 0;
      const auto row = static_cast<std::int64_t>(m);
      best_[row].copy_(parameters[row]);
    } else if (++state.since_best >= config_->patience) {
      state.training = false;
      state.stopped_at = step;
      stopped.push_back(static_cast<std::int64_t>(m));
    }
  }
  return stopped;
}

void Stopping::restore_best(at::Tensor& parameters) const {
  if (!best_.defined()) return;
  for (std::size_t m = 0; m < states_.size(); ++m) {
    const auto row = static_cast<std::int64_t>(m);
    if (states_[m].best_step >= 0) parameters[row].copy_(best_[row]);
  }
}

void Stopping::restore(std::vector<MemberState> states, at::Tensor best) {
  states_ = std::move(states);
  best_ = std::move(best);
}

}  // namespace chorale
