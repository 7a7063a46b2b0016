// The recipe's `ensemble` and `training` sections after validation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/model/recompute.hpp"

namespace chorale {

struct EnsembleConfig {
  std::int64_t members = 5;
  bool vary_initialisation = true;
  bool vary_data_order = true;
};

enum class ScheduleKind { constant, linear, cosine };

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::cosine;
  double warmup_fraction = 0.06;  // of all steps, rounded up; the rate rises linearly from rate/steps
};

struct OptimiserConfig {
  std::string kind = "adamw";
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

struct WeightDecay {
  double a = 0.0;  // decoupled, on the A factors
  double b = 0.0;  // decoupled, on the B factors
};

enum class KlDirection { member_to_base, base_to_member };

/// weight * KL(member || base) or KL(base || member) over the scored classes, added to every member's loss.
struct KlToBase {
  double weight = 0.0;
  KlDirection direction = KlDirection::member_to_base;
};

enum class StoppingMetric { nll, accuracy, ece };

struct EarlyStopping {
  StoppingMetric metric = StoppingMetric::nll;
  std::int64_t patience = 2;  // validations without improvement
};

enum class PrefixCacheMode { automatic, off, bytes };

struct TrainingConfig {
  std::int64_t epochs = 3;  // used when steps == 0
  std::int64_t steps = 0;
  std::int64_t batch_size = 8;        // examples per member and optimiser step
  std::int64_t micro_batch_size = 0;  // examples per member and pass; 0: automatic
  Recompute recompute = Recompute::none;
  OptimiserConfig optimiser;
  std::vector<double> learning_rate = {2e-4};  // one value, or one per member
  ScheduleConfig schedule;
  WeightDecay weight_decay;
  std::optional<double> clip_norm = 1.0;  // per member; nullopt: off
  std::optional<KlToBase> kl_to_base;
  std::optional<EarlyStopping> early_stopping;
  PrefixCacheMode prefix_cache = PrefixCacheMode::automatic;
  std::uint64_t prefix_cache_bytes = 0;  // with PrefixCacheMode::bytes
  std::int64_t log_every = 10;
};

}  // namespace chorale
