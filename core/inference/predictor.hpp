// Members' predictions for a whole set.
#pragma once

#include <cstdint>
#include <functional>

#include "core/adapters/adapter_bank.hpp"
#include "core/ensemble/prediction_share.hpp"
#include "core/ensemble/predictions.hpp"
#include "core/inference/example_batcher.hpp"
#include "core/inference/frozen_prefix.hpp"
#include "core/inference/merging.hpp"
#include "core/inference/scores.hpp"
#include "core/model/decoder.hpp"

namespace chorale {

/// Evaluates all members of a bank on one set, or a consecutive part of it, batch by batch in the set's order, dropout
/// off. Layers below the lowest adapter run once for all members. All predictions throw Preempted between two batches
/// when this process is asked to stop (core/base/interruption.hpp).
class Predictor {
 public:
  /// Called after each batch with the number of examples done.
  using Progress = std::function<void(std::size_t)>;

  /// `prefix_budget`: bytes that may be kept of the frozen prefix between calls (0 for sets visited once). `examples`:
  /// the part this evaluates.
  Predictor(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t lowest_layer, std::int64_t batch_size,
            const RowBudget& prefix_budget, IndexRange examples);
  /// The whole set.
  Predictor(const Decoder& decoder, const ExampleBatcher& batcher, std::int64_t lowest_layer, std::int64_t batch_size,
            const RowBudget& prefix_budget);

  /// Lets members be predicted one after the other with their adapters merged into a second copy of the weights, of at
  /// most `bytes`. At first they never are. Values differ by rounding. Weights held in fewer bits are never merged.
  void merge(Merging when, std::uint64_t bytes);
  /// Whether this bank's members will be.
  [[nodiscard]] bool merges(const AdapterBank& bank) const;

  /// This part's predictions by every member of the bank: log-probabilities of the choices (multiple choice), or
  /// log-likelihoods of the answer tokens, whose cells are counted over the whole set (completion).
  [[nodiscard]] PredictionShare share(const AdapterBank& bank, const Progress& progress);

  /// Of the whole set. Multiple choice: log-probabilities of every member.
  [[nodiscard]] Predictions choices(const AdapterBank& bank, const Progress& progress);
  /// This part's predictions by the base without adapters, as member 0.
  [[nodiscard]] PredictionShare base_share(const Progress& progress);
  /// The base without adapters, as one member.
  [[nodiscard]] Predictions base_choices(const Progress& progress);
  /// Completion: log-likelihood of every answer token.
  [[nodiscard]] TokenPredictions tokens(const AdapterBank& bank, const Progress& progress);

 private:
  [[nodiscard]] at::Tensor hidden(const ExampleBatch& batch, const LinearHook* hook);
  // Room for every value of `members`.
  [[nodiscard]] PredictionShare empty_share(std::vector<std::uint32_t> members) const;
  // Some of a share's members, under a hook that knows these alone.
  struct Members {
    std::size_t first = 0, count = 0;
    std::size_t examples = 0;  // of each in a batch
  };
  void run(const LinearHook* hook, const Members& members, PredictionShare& into, const Progress& progress);

  const Decoder& decoder_;
  const ExampleBatcher& batcher_;
  std::int64_t batch_size_;
  IndexRange examples_;
  Merging merging_ = Merging::never;
  std::uint64_t merge_budget_ = 0;
  FrozenPrefix prefix_;
  Scorer scorer_;
};

/// What to call the values of all members and examples of a multiple choice set: [members, examples, choices].
[[nodiscard]] Predictions choice_predictions(const ExampleBatcher& batcher, std::size_t members,
                                             std::vector<float> log_probabilities);
/// The same for completion: [members, answer tokens of the set].
[[nodiscard]] TokenPredictions token_predictions(const ExampleBatcher& batcher, std::size_t members,
                                                 std::vector<float> log_likelihoods);
/// Cells of a whole set and values per cell, as share() counts them.
struct CellShape {
  std::size_t cells = 0;
  std::size_t width = 1;
};
[[nodiscard]] CellShape cell_shape(const ExampleBatcher& batcher);

}  // namespace chorale
