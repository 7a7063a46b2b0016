#include "core/training/adamw.hpp"

#include "core/base/errors.hpp"
#include "core/model/upload.hpp"

namespace chorale {
namespace {

std::vector<std::uint8_t> training_flags(const std::vector<MemberState>& states) {
  std::vector<std::uint8_t> flags;
  for (const MemberState& state : states) flags.push_back(state.training ? 1 : 0);
  return flags;
}

}  // namespace

AdamW::AdamW(const at::Tensor& parameters, const OptimiserConfig& config, const StepRates& rates,
             const std::vector<DecaySegment>& segments)
    : state_(make_adamw_state(parameters)), report_(make_adamw_report(parameters)) {
  std::vector<std::int64_t> ends;
  std::vector<double> decays;
  std::int64_t covered = 0;
  for (const DecaySegment& segment : segments) {
    CHORALE_ASSERT(segment.begin == covered, "decay segments follow each other");
    covered = segment.end;
    ends.push_back(segment.end);
    decays.push_back(segment.decay);
  }
  CHORALE_ASSERT(covered == parameters.size(1), "decay segments cover every column");
  CHORALE_ASSERT(rates.learning_rates.size() == static_cast<std::size_t>(parameters.size(0)),
                 "every member has a learning rate");
  plan_.settings = {config.beta1, config.beta2, config.epsilon, rates.clip_norm.value_or(0.0)};
  Upload upload(parameters.device());
  upload.add(plan_.learning_rates, rates.learning_rates, at::kDouble);
  upload.add(plan_.factors, rates.factors, at::kDouble);
  upload.add(plan_.segment_ends, ends);
  upload.add(plan_.segment_decays, decays, at::kDouble);
  upload.send();
}

const AdamWReport& AdamW::step(at::Tensor& parameters, const at::Tensor& gradients, const at::Tensor& rounded) {
  device_adamw_step(parameters, gradients, rounded, plan_, state_, report_);
  return report_;
}

void AdamW::follow(const std::vector<MemberState>& states) {
  at::Tensor training;
  Upload upload(state_.training.device());
  upload.add_flags(training, training_flags(states));
  upload.send();
  state_.training.copy_(training, /*non_blocking=*/true);
}

void AdamW::restore(std::int64_t steps, const std::vector<std::int64_t>& counts,
                    const std::vector<MemberState>& states) {
  at::Tensor updates;
  Upload upload(state_.counts.device());
  upload.add(updates, counts);
  upload.send();
  state_.counts.copy_(updates, /*non_blocking=*/true);
  state_.step.fill_(steps);
  follow(states);
}

std::vector<std::int64_t> AdamW::counts() const {
  const at::Tensor host = state_.counts.cpu();
  const auto* values = host.const_data_ptr<std::int64_t>();
  return {values, values + host.size(0)};
}

}  // namespace chorale
