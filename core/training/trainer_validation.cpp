// The trainer's look at the validation set.
#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/interruption.hpp"
#include "core/calibration/evaluate.hpp"
#include "core/inference/exchanged_shares.hpp"
#include "core/training/trainer.hpp"

namespace chorale {

bool Trainer::validation_is_due() const {
  // at the end of every few epochs, and after the last step (members keep their best)
  const std::int64_t every = in_.evaluation.every_epochs * order_.steps_per_epoch();
  return validation_ != nullptr && (step_ % every == 0 || step_ == total_steps_);
}

void Trainer::validate_if_pending(TrainingControl& control) {
  if (!validation_pending_) return;
  // The group predicts its members together, if any of them still trains.
  std::optional<std::vector<PredictionShare>> shares;
  bool complete = true;
  try {
    if (stopping_.any_training()) {
      shares = exchange_shares(*in_.group, [&] { return validation_->share(*in_.bank, nullptr); });
    }
  } catch (const Preempted&) {
    complete = false;
  }
  // It counts for all groups or for none, so that a run that is saved here is at one and the same place everywhere.
  control.validation_made(complete);
  validation_pending_ = false;
  if (shares) validate(*shares);
}

nlohmann::json Trainer::validation_metrics(const std::vector<PredictionShare>& shares, ValidationReport& report) {
  // Every rank has all predictions and computes the same numbers, so all decide the same.
  const CellShape shape = cell_shape(*in_.validation);
  std::vector<float> values = assemble(shares, in_.bank->members(), shape.cells, shape.width);
  const std::size_t members = in_.bank->members().size();
  if (in_.validation->kind() == TaskKind::completion) {
    validated_tokens_ = token_predictions(*in_.validation, members, std::move(values));
    report.tokens = &validated_tokens_;
    return evaluate_tokens(validated_tokens_);
  }
  EvaluationConfig config = in_.evaluation;
  config.bootstrap = 0;
  config.temperature = false;
  validated_ = choice_predictions(*in_.validation, members, std::move(values));
  validated_step_ = step_;
  report.choices = &validated_;
  return evaluate_predictions(validated_, nullptr, config, in_.seed);
}

void Trainer::validate(const std::vector<PredictionShare>& shares) {
  ValidationReport report;
  report.step = step_;
  report.members = in_.bank->members();
  const nlohmann::json metrics = validation_metrics(shares, report);
  const auto number = [](const nlohmann::json& object, const char* key) {
    return object.contains(key) && object[key].is_number() ? object[key].get<double>()
                                                           : std::numeric_limits<double>::quiet_NaN();
  };
  for (const nlohmann::json& member : metrics["members"]["each"]) {
    report.metrics.push_back({number(member, "nll"), number(member, "accuracy"), number(member, "ece")});
  }
  for (const MemberState& state : stopping_.states()) report.training.push_back(state.training);
  const auto stopped = stopping_.validated(step_, report.metrics, in_.bank->parameters());
  if (!stopped.empty()) optimiser_.follow(stopping_.states());
  in_.observer->validated(report);
  for (const std::int64_t m : stopped) {
    const MemberState& state = stopping_.states()[static_cast<std::size_t>(m)];
    in_.observer->noted(fmt::format("member {} stopped early at step {}; its best adapters are those of step {}",
                                    in_.bank->members()[static_cast<std::size_t>(m)], step_, state.best_step),
                        false);
  }
}

const Predictions* Trainer::current_validation() const {
  // Early stopping puts older adapters back after the last validation.
  return validated_step_ == step_ && !in_.training.early_stopping ? &validated_ : nullptr;
}

}  // namespace chorale
