// What a run tells about itself when it ends: metrics.json and timings.json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "core/storage/checkpoint_file.hpp"
#include "core/training/trainer.hpp"
#include "launch/progress/progress.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/run_inputs.hpp"
#include "launch/training/run_world.hpp"

namespace chorale {

/// Seconds of each part of a run.
class Timings {
 public:
  /// The part that ends now; it began when the one before ended.
  void take(const char* part) {
    const double now = Progress::steady_seconds();
    parts_[part] = now - last_;
    last_ = now;
  }
  [[nodiscard]] const nlohmann::json& json() const { return parts_; }

 private:
  double last_ = Progress::steady_seconds();
  nlohmann::json parts_ = nlohmann::json::object();
};

/// How each member's training ended, in the order of members: {"diverged", "stopped_at", "best_step", "tokens"}. On
/// rank 0; empty elsewhere. Collective.
[[nodiscard]] nlohmann::json member_states(Trainer& trainer, const RunWorld& run);
/// One of them, from a checkpoint that was written when training had ended.
[[nodiscard]] nlohmann::json member_state(const MemberProgress& progress);

/// Peak memory of this process in bytes (core/base/process_memory.hpp).
[[nodiscard]] std::int64_t own_peak_memory();

/// Peak memory in bytes of each rank, on rank 0. Collective.
[[nodiscard]] nlohmann::json peak_memory(const RunWorld& run);

/// timings.json, on rank 0: the seconds of every part, and what the times depend on. Collective.
[[nodiscard]] nlohmann::json timings_json(const Timings& timings, const RunWorld& run, const RunInputs& inputs,
                                          int threads, double tokens_per_second);

/// The whole of metrics.json: nothing in it but what the recipe, the base and the data decide, so that a run that was
/// interrupted ends with the same bytes as one that was not.
[[nodiscard]] nlohmann::json metrics_json(const Recipe& recipe, const std::string& base_fingerprint,
                                          std::int64_t parameters_per_member, std::int64_t steps,
                                          const nlohmann::json& members, const nlohmann::json& datasets);

}  // namespace chorale
