// The training of some members of an ensemble, from where it stands to its end and its last checkpoint.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/adapters/adapter_bank.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/model/decoder.hpp"
#include "core/training/trainer.hpp"
#include "launch/progress/progress.hpp"
#include "launch/recipe/recipe.hpp"
#include "launch/training/base_fingerprint.hpp"
#include "launch/training/run_checkpoints.hpp"
#include "launch/training/run_files.hpp"
#include "launch/training/run_inputs.hpp"
#include "launch/training/run_log.hpp"
#include "launch/training/run_world.hpp"

namespace chorale {

/// What members are trained with and over. The recipe's output directory is where log and checkpoints go. What is
/// referred to must outlive the training.
struct TrainingParts {
  const Recipe& recipe;
  const RunInputs& inputs;
  const Decoder& decoder;
  BaseFingerprint& fingerprint;
  const RunWorld& run;  // and in it the members
  Progress& progress;
};

/// The bank of the recipe's adapters for the members of `run` on this rank, as training starts with them.
[[nodiscard]] AdapterBank make_bank(const Recipe& recipe, const RunInputs& inputs, const RunWorld& run);

/// RunFiles::begin() on rank 0, which has the files; what the log has counted so far, on every rank, for each that
/// leads a group counts on from there. Collective.
[[nodiscard]] double begin_together(const std::optional<RunFiles>& files, const Recipe& recipe, std::int64_t step,
                                    World& world);

/// Collective over all ranks, as are run() and save().
class MemberTraining {
 public:
  /// Makes the trainer and puts `bank` and it back to where `from` is. `seconds_before`: what the log has counted so
  /// far. UsageError, InputError, StorageError, Preempted.
  MemberTraining(const TrainingParts& parts, AdapterBank& bank, const ResumePoint& from, double seconds_before);

  /// All remaining steps. DivergedError when no member is left that is finite, and everything RunControl throws.
  void run();
  /// The last checkpoint, unless it is there as it would be written.
  void save();

  [[nodiscard]] Trainer& trainer() { return *trainer_; }
  [[nodiscard]] RunLog& log() { return *log_; }
  /// On rank 0, after run(): bytes each rank gave into sums over its group per step, by rank.
  [[nodiscard]] const nlohmann::json& reduced_bytes_per_step() const { return reduced_; }
  /// [{"rank", "host", "summing_seconds"}, ...] (Communicator::summing_seconds) on rank 0, after run().
  [[nodiscard]] const nlohmann::json& each_rank() const { return each_rank_; }

 private:
  TrainingParts parts_;
  AdapterBank& bank_;
  std::optional<RunLog> log_;
  std::optional<RunCheckpoints> checkpoints_;
  ExampleBatcher train_;
  std::optional<ExampleBatcher> validation_;
  std::optional<Trainer> trainer_;
  nlohmann::json reduced_;
  nlohmann::json each_rank_;
};

}  // namespace chorale
